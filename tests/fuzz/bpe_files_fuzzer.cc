// vocab.json and merges.txt, with a NUL byte between them; and encoding with what they hold.
#include "data/bpe_tokenizer.h"
#include "tensor/error.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::size_t middle = std::min(text.find('\0'), text.size());
  const std::string_view merges = text.substr(std::min(middle + 1, text.size()));
  try {
    const shardgrad::BpeTokenizer tokenizer(
        shardgrad::parse_bpe_files(text.substr(0, middle), "vocab.json", merges, "merges.txt"));
    if (tokenizer.decode(tokenizer.encode(merges)) != merges) __builtin_trap();
  } catch (const shardgrad::Error&) {
  }
  return 0;
}
