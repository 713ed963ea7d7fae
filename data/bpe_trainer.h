// Learning a byte-level BPE vocabulary.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "data/bpe_vocabulary.h"
#include "data/text_blocks.h"

namespace shardgrad {

/// How often each word occurs.
using WordCounts = std::unordered_map<std::string, std::int64_t>;

/// Counts the words (WordSplitter) of texts on `threads` threads; `progress` hears how many bytes
/// have been counted since it heard last. The distinct words are in memory, the texts are not.
/// @throws Error as TextBlockReader does, and for malformed JSON lines.
WordCounts count_words(const std::vector<TextRange>& texts, int threads,
                       const std::function<void(std::int64_t bytes)>& progress);

/// A vocabulary of at most `vocab_size` tokens: the end of text, the bytes in the order of the
/// characters that stand for them, and the merges of the pair that occurs most often, again and
/// again, until none occurs at least twice. Of pairs that are as frequent, the one of the smallest
/// ids is merged. A pure function of its arguments, equal to what Hugging Face's BpeTrainer learns
/// with the special token <|endoftext|>, the ByteLevel alphabet and min_frequency 2. `progress`
/// hears the size of the vocabulary as it grows. @throws Error unless vocab_size is 257 .. 65,536.
/// Source: Sennrich, Haddow, Birch, "Neural machine translation of rare words with subword units",
/// ACL 2016, algorithm 1, with counts that are updated rather than counted anew.
BpeVocabulary train_bpe(const WordCounts& words, std::int64_t vocab_size,
                        const std::function<void(std::int64_t tokens)>& progress);

}  // namespace shardgrad
