// JSON lines, and cutting what is in them into words.
#include "data/byte_tokenizer.h"
#include "data/encode_text.h"
#include "data/word_splitter.h"
#include "tensor/error.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const shardgrad::WordSplitter splitter;
  const auto split = [](std::string_view text) {
    std::size_t bytes = 0;
    for (const std::string_view word : splitter.split(text)) {
      if (word.empty() || word.data() != text.data() + bytes) __builtin_trap();
      bytes += word.size();
    }
    if (bytes != text.size() || splitter.last_cut(text) > bytes) __builtin_trap();
  };
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  split(text);
  shardgrad::TextBlock block{"lines.jsonl", 0, std::string(text), true, true};
  try {
    shardgrad::for_each_document(block, split);
    shardgrad::encode_block(block, shardgrad::ByteTokenizer());
  } catch (const shardgrad::Error&) {
  }
  return 0;
}
