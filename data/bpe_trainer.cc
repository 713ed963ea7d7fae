#include "data/bpe_trainer.h"

#include <algorithm>
#include <map>
#include <queue>
#include <unordered_set>

#include "data/byte_alphabet.h"
#include "data/encode_text.h"
#include "data/for_each_block.h"
#include "data/word_splitter.h"
#include "tensor/error.h"

namespace shardgrad {
namespace {

constexpr std::int64_t kLeastCount = 2;

// A pair of neighbouring tokens; as a number, it is ordered by the left one, then the right one.
using Pair = std::uint32_t;
constexpr Pair pair_of(TokenId left, TokenId right) { return Pair{left} << 16 | right; }

struct Word {
  std::vector<TokenId> tokens;
  std::int64_t count = 0;
};

// The words where a pair was seen, for a count that was right when it was queued.
struct Candidate {
  Pair pair = 0;
  std::int64_t count = 0;
  // For a queue whose first element is the largest.
  bool operator<(const Candidate& other) const {
    return count != other.count ? count < other.count : pair > other.pair;
  }
};

class Trainer {
 public:
  Trainer(const WordCounts& words, std::int64_t vocab_size) : vocab_size_(vocab_size) {
    add_bytes();
    for (const auto& [text, count] : words) {
      Word word;
      for (char byte : text)
        word.tokens.push_back(token_of_byte_[static_cast<unsigned char>(byte)]);
      word.count = count;
      words_.push_back(std::move(word));
    }
    count_pairs();
  }

  BpeVocabulary train(const std::function<void(std::int64_t)>& progress) {
    while (size() < vocab_size_ && !queue_.empty()) {
      const Candidate best = queue_.top();
      queue_.pop();
      const std::int64_t count = counts_[best.pair];
      if (count != best.count) {  // changed since it was queued
        if (count >= kLeastCount) queue_.push({best.pair, count});
        continue;
      }
      if (count < kLeastCount) break;
      merge(best.pair);
      progress(size());
    }
    return std::move(vocabulary_);
  }

 private:
  std::int64_t size() const { return static_cast<std::int64_t>(vocabulary_.tokens.size()); }

  void add_bytes() {
    vocabulary_.tokens.emplace_back(kEndOfText);
    vocabulary_.end_of_text = 0;
    std::map<char32_t, unsigned char> by_character;
    for (int byte = 0; byte < 256; ++byte) {
      by_character[character_of_byte(static_cast<unsigned char>(byte))] =
          static_cast<unsigned char>(byte);
    }
    for (const auto& [character, byte] : by_character) {
      token_of_byte_[byte] = static_cast<TokenId>(size());
      vocabulary_.tokens.emplace_back(1, static_cast<char>(byte));
    }
    for (std::size_t id = 0; id < vocabulary_.tokens.size(); ++id) {
      ids_[vocabulary_.tokens[id]] = static_cast<TokenId>(id);
    }
  }

  void count_pairs() {
    for (std::size_t w = 0; w < words_.size(); ++w) {
      const Word& word = words_[w];
      for (std::size_t i = 0; i + 1 < word.tokens.size(); ++i) {
        const Pair pair = pair_of(word.tokens[i], word.tokens[i + 1]);
        counts_[pair] += word.count;
        places_[pair].insert(w);
      }
    }
    for (const auto& [pair, count] : counts_) {
      if (count >= kLeastCount) queue_.push({pair, count});
    }
  }

  // The id of the token that the pair becomes. Two pairs may become the same one.
  TokenId merged_token(Pair pair) {
    const std::string bytes = vocabulary_.tokens[pair >> 16] + vocabulary_.tokens[pair & 0xffff];
    const auto [known, is_new] = ids_.try_emplace(bytes, static_cast<TokenId>(size()));
    if (is_new) vocabulary_.tokens.push_back(bytes);
    return known->second;
  }

  void merge(Pair pair) {
    const auto left = static_cast<TokenId>(pair >> 16), right = static_cast<TokenId>(pair & 0xffff);
    const TokenId merged = merged_token(pair);
    vocabulary_.merges.push_back({left, right, merged});
    const std::unordered_set<std::size_t> places = std::move(places_[pair]);
    places_.erase(pair);
    std::unordered_set<Pair> grown;
    for (const std::size_t w : places) merge_in_word(w, left, right, merged, grown);
    counts_.erase(pair);
    for (const Pair changed : grown) {
      if (changed == pair) continue;
      const std::int64_t count = counts_[changed];
      if (count >= kLeastCount) queue_.push({changed, count});
    }
  }

  void merge_in_word(std::size_t w, TokenId left, TokenId right, TokenId merged,
                     std::unordered_set<Pair>& grown) {
    Word& word = words_[w];
    std::vector<TokenId>& tokens = word.tokens;
    const auto change = [&](TokenId a, TokenId b, std::int64_t by) {
      const Pair pair = pair_of(a, b);
      counts_[pair] += by * word.count;
      if (by < 0) return;
      places_[pair].insert(w);
      grown.insert(pair);
    };
    std::size_t to = 0;
    for (std::size_t from = 0; from < tokens.size(); ++from) {
      if (from + 1 == tokens.size() || tokens[from] != left || tokens[from + 1] != right) {
        tokens[to++] = tokens[from];
        continue;
      }
      if (to > 0) {
        change(tokens[to - 1], left, -1);
        change(tokens[to - 1], merged, 1);
      }
      if (from + 2 < tokens.size()) {
        change(right, tokens[from + 2], -1);
        change(merged, tokens[from + 2], 1);
      }
      tokens[to++] = merged;
      ++from;
    }
    tokens.resize(to);
  }

  std::int64_t vocab_size_;
  BpeVocabulary vocabulary_;
  TokenId token_of_byte_[256] = {};
  std::unordered_map<std::string, TokenId> ids_;
  std::vector<Word> words_;
  std::unordered_map<Pair, std::int64_t> counts_;
  std::unordered_map<Pair, std::unordered_set<std::size_t>>
      places_;  // words that may hold the pair
  std::priority_queue<Candidate> queue_;
};

}  // namespace

WordCounts count_words(const std::vector<TextRange>& texts, int threads,
                       const std::function<void(std::int64_t bytes)>& progress) {
  // Only its places for cutting are asked for: they are those of any byte-level BPE.
  struct Cuts : Tokenizer {
    std::int64_t vocab_size() const override { return 0; }
    std::optional<TokenId> end_of_text() const override { return std::nullopt; }
    void encode(std::string_view, std::vector<TokenId>&) const override {}
    std::string_view bytes_of(TokenId) const override { return {}; }
    std::size_t last_cut(std::string_view text) const override {
      return WordSplitter::last_cut(text);
    }
  };
  const Cuts cuts;
  const WordSplitter splitter;
  WordCounts all;
  for_each_block(
      TextBlockReader(texts, cuts), threads,
      [&](const TextBlock& block) {
        WordCounts words;
        for_each_document(block, [&](std::string_view text) {
          for (const std::string_view word : splitter.split(text)) ++words[std::string(word)];
        });
        return words;
      },
      [&](const WordCounts& words, std::int64_t bytes) {
        for (const auto& [word, count] : words) all[word] += count;
        progress(bytes);
      });
  return all;
}

BpeVocabulary train_bpe(const WordCounts& words, std::int64_t vocab_size,
                        const std::function<void(std::int64_t tokens)>& progress) {
  require(vocab_size >= 257 && vocab_size <= kMostTokens, "train_bpe",
          "vocab_size {} is out of range; expected 257, for the bytes and {}, to {}", vocab_size,
          kEndOfText, kMostTokens);
  return Trainer(words, vocab_size).train(progress);
}

}  // namespace shardgrad
