// Text files to tokens, on several threads and in constant memory.
#pragma once

#include <functional>

#include "data/text_blocks.h"

namespace shardgrad {

/// The tokens of a block. After each document stands the tokenizer's end of text; where it has
/// none, a newline, unless the document ends in one. @throws Error for malformed JSON lines, with
/// the file and the offset.
std::vector<TokenId> encode_block(const TextBlock& block, const Tokenizer& tokenizer);

/// Calls `visit` with each document of a block: the text itself, or that of each line.
/// @throws Error for malformed JSON lines.
void for_each_document(const TextBlock& block,
                       const std::function<void(std::string_view text)>& visit);

/// Encodes texts on `threads` threads and hands the tokens on, block by block in the order of the
/// text, with the number of bytes that they were made of. Of each text no more than some blocks is
/// in memory. @throws Error as TextBlockReader and encode_block() do.
void encode_text(
    const std::vector<TextRange>& texts, const Tokenizer& tokenizer, int threads,
    const std::function<void(const std::vector<TokenId>& tokens, std::int64_t bytes)>& sink);

}  // namespace shardgrad
