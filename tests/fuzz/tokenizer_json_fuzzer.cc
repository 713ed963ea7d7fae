// tokenizer.json.
#include "data/bpe_vocabulary.h"
#include "tensor/error.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    shardgrad::parse_tokenizer_json(std::string_view(reinterpret_cast<const char*>(data), size),
                                    "tokenizer.json");
  } catch (const shardgrad::Error&) {
  }
  return 0;
}
