// Any bytes as a token file: either an Error, or tokens of the vocabulary that fill it.
#include "data/token_dataset.h"
#include "data/token_files.h"
#include "tensor/error.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace shardgrad;
  constexpr std::int64_t kVocabulary = 300;
  const auto bytes = static_cast<std::int64_t>(size);
  for (const auto format : {std::optional<TokenFormat>(), std::optional(TokenFormat::LlmC)}) {
    try {
      const TokenFileLayout layout = token_layout(data, bytes, "train.bin", format);
      const std::int64_t end = layout.first_byte + 2 * layout.tokens;
      if (layout.tokens < 0 || end != bytes) __builtin_trap();
      const auto* tokens = reinterpret_cast<const TokenId*>(data + layout.first_byte);
      const TokenDataset dataset({{"train.bin", layout.first_byte, tokens, layout.tokens, nullptr}},
                                 kVocabulary);
      std::vector<std::int32_t> ids(static_cast<std::size_t>(dataset.size()));
      dataset.read(0, dataset.size(), ids.data());
      for (const std::int32_t id : ids) {
        if (id < 0 || id >= kVocabulary) __builtin_trap();
      }
    } catch (const Error&) {
    }
  }
  return 0;
}
