// tokenizer.json.
#include "data/bpe_vocabulary.h"
#include "tensor/error.h"
#include "tests/fuzz/fuzz_target.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    shardgrad::parse_tokenizer_json(text_of(data, size), "tokenizer.json");
  } catch (const shardgrad::Error&) {
  }
  return 0;
}
