#include "data/bpe_tokenizer.h"

#include <queue>

#include "tensor/error.h"

namespace shardgrad {
namespace {

constexpr std::uint32_t key_of(TokenId left, TokenId right) {
  return static_cast<std::uint32_t>(left) << 16 | right;
}

// A token of the word that is being merged; a list, so that a merge moves nothing.
struct Symbol {
  TokenId id;
  bool alive;
  std::int32_t previous, next;  // -1: none
};

// A merge that was possible when it was found.
struct Candidate {
  std::uint32_t rank;
  std::int32_t position;  // of the left token
  // For a queue whose first element is the largest.
  bool operator<(const Candidate& other) const {
    return rank != other.rank ? rank > other.rank : position > other.position;
  }
};

constexpr std::size_t kLongestWord = 1 << 30;  // positions are 32 bits

}  // namespace

// What encode() needs again and again.
struct BpeTokenizer::Workspace {
  std::vector<Symbol> symbols;
  std::priority_queue<Candidate> queue;
  // The words of this text that have been encoded: where their tokens are among the text's.
  std::unordered_map<std::string_view, std::pair<std::size_t, std::size_t>> known;
};

BpeTokenizer::BpeTokenizer(BpeVocabulary vocabulary) : vocabulary_(std::move(vocabulary)) {
  for (std::size_t id = 0; id < vocabulary_.tokens.size(); ++id) {
    const std::string& bytes = vocabulary_.tokens[id];
    if (bytes.size() == 1) {
      token_of_byte_[static_cast<unsigned char>(bytes[0])] = static_cast<TokenId>(id);
    }
  }
  merges_.reserve(vocabulary_.merges.size());
  std::uint32_t rank = 0;
  for (const BpeMerge& merge : vocabulary_.merges) {
    merges_.emplace(key_of(merge.left, merge.right), Ranked{rank++, merge.merged});
  }
}

const BpeTokenizer::Ranked* BpeTokenizer::find_merge(TokenId left, TokenId right) const {
  const auto found = merges_.find(key_of(left, right));
  return found == merges_.end() ? nullptr : &found->second;
}

std::string_view BpeTokenizer::bytes_of(TokenId token) const {
  require(token < vocab_size(), "BpeTokenizer::bytes_of",
          "token {} is outside the vocabulary; expected 0 to {}", token, vocab_size() - 1);
  return vocabulary_.tokens[token];
}

void BpeTokenizer::encode_word(std::string_view word, Workspace& workspace,
                               std::vector<TokenId>& tokens) const {
  require(word.size() <= kLongestWord, "BpeTokenizer::encode",
          "a word has {} bytes; expected at most {}", word.size(), kLongestWord);
  std::vector<Symbol>& symbols = workspace.symbols;
  std::priority_queue<Candidate>& queue = workspace.queue;
  const auto size = static_cast<std::int32_t>(word.size());
  symbols.clear();
  for (std::int32_t i = 0; i < size; ++i) {
    const auto byte = static_cast<unsigned char>(word[static_cast<std::size_t>(i)]);
    symbols.push_back({token_of_byte_[byte], true, i - 1, i + 1 < size ? i + 1 : -1});
  }
  const auto symbol = [&](std::int32_t at) -> Symbol& {
    return symbols[static_cast<std::size_t>(at)];
  };
  const auto merge_at = [&](std::int32_t at) -> const Ranked* {
    return at < 0 || symbol(at).next < 0 ? nullptr
                                         : find_merge(symbol(at).id, symbol(symbol(at).next).id);
  };
  const auto consider = [&](std::int32_t at) {
    if (const Ranked* merge = merge_at(at)) queue.push({merge->rank, at});
  };
  for (std::int32_t i = 0; i + 1 < size; ++i) consider(i);
  while (!queue.empty()) {
    const Candidate best = queue.top();
    queue.pop();
    if (!symbol(best.position).alive) continue;
    const Ranked* merge = merge_at(best.position);
    // A rank belongs to one pair: another one means that a neighbour has changed since.
    if (merge == nullptr || merge->rank != best.rank) continue;
    Symbol& left = symbol(best.position);
    Symbol& right = symbol(left.next);
    left.id = merge->merged;
    left.next = right.next;
    right.alive = false;
    if (left.next >= 0) symbol(left.next).previous = best.position;
    consider(left.previous);
    consider(best.position);
  }
  for (std::int32_t at = 0; at >= 0; at = symbol(at).next) tokens.push_back(symbol(at).id);
}

void BpeTokenizer::encode(std::string_view text, std::vector<TokenId>& tokens) const {
  Workspace workspace;
  for (const std::string_view word : splitter_.split(text)) {
    const auto [known, is_new] = workspace.known.try_emplace(word, tokens.size(), 0);
    auto& [start, count] = known->second;
    if (is_new) {
      encode_word(word, workspace, tokens);
      count = tokens.size() - start;
    } else {
      for (std::size_t i = start; i < start + count; ++i) tokens.push_back(tokens[i]);
    }
  }
}

}  // namespace shardgrad
