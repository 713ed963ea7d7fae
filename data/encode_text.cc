#include "data/encode_text.h"

#include <algorithm>

#include "data/for_each_block.h"
#include "data/jsonl.h"

namespace shardgrad {
namespace {

// What stands after a document.
void end_document(const Tokenizer& tokenizer, std::vector<TokenId>& tokens) {
  if (const std::optional<TokenId> end = tokenizer.end_of_text()) {
    tokens.push_back(*end);
  } else if (!tokens.empty()) {
    const std::string_view last = tokenizer.bytes_of(tokens.back());
    if (last.empty() || last.back() != '\n') tokenizer.encode("\n", tokens);
  }
}

}  // namespace

void for_each_document(const TextBlock& block,
                       const std::function<void(std::string_view text)>& visit) {
  if (!block.json_lines) return visit(block.bytes);
  const std::string_view bytes = block.bytes;
  for (std::size_t start = 0; start < bytes.size();) {
    const std::size_t end = std::min(bytes.find('\n', start), bytes.size());
    const std::string_view line = bytes.substr(start, end - start);
    if (line.find_first_not_of(" \t\r") != std::string_view::npos) {
      visit(text_of_json_line(line, block.path, block.offset + static_cast<std::int64_t>(start)));
    }
    start = end + 1;
  }
}

std::vector<TokenId> encode_block(const TextBlock& block, const Tokenizer& tokenizer) {
  std::vector<TokenId> tokens;
  for_each_document(block, [&](std::string_view text) {
    tokenizer.encode(text, tokens);
    if (block.json_lines && !text.empty()) end_document(tokenizer, tokens);
  });
  if (!block.json_lines && block.ends_document) end_document(tokenizer, tokens);
  return tokens;
}

void encode_text(
    const std::vector<TextRange>& texts, const Tokenizer& tokenizer, int threads,
    const std::function<void(const std::vector<TokenId>& tokens, std::int64_t bytes)>& sink) {
  for_each_block(
      TextBlockReader(texts, tokenizer), threads,
      [&](const TextBlock& block) { return encode_block(block, tokenizer); }, sink);
}

}  // namespace shardgrad
