// Token files.
#include "data/token_files.h"
#include "tensor/error.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using shardgrad::TokenFormat;
  const auto bytes = static_cast<std::int64_t>(size);
  for (const auto format : {std::optional<TokenFormat>(), std::optional(TokenFormat::LlmC)}) {
    try {
      const shardgrad::TokenFileLayout layout =
          shardgrad::token_layout(data, bytes, "train.bin", format);
      const std::int64_t end = layout.first_byte + 2 * layout.tokens;
      if (layout.tokens < 0 || end != bytes) __builtin_trap();
    } catch (const shardgrad::Error&) {
    }
  }
  return 0;
}
