// GPT-2's tokenizer: byte-level byte pair encoding.
#pragma once

#include <memory>
#include <unordered_map>

#include "data/bpe_vocabulary.h"
#include "data/tokenizer.h"
#include "data/word_splitter.h"

namespace shardgrad {

/// Cuts text into words (WordSplitter), and in each word merges, again and again, the neighbours
/// whose merge comes first in the vocabulary, the leftmost of them first. The ids are those of
/// Hugging Face's and OpenAI's tokenizers with the same files, special tokens left out:
/// "<|endoftext|>" in a text is encoded as the text that it is. Source: Sennrich, Haddow, Birch,
/// ACL 2016; on bytes: Radford et al., 2019.
class BpeTokenizer : public Tokenizer {
 public:
  explicit BpeTokenizer(BpeVocabulary vocabulary);

  using Tokenizer::encode;

  std::int64_t vocab_size() const override {
    return static_cast<std::int64_t>(vocabulary_.tokens.size());
  }
  std::optional<TokenId> end_of_text() const override { return vocabulary_.end_of_text; }
  void encode(std::string_view text, std::vector<TokenId>& tokens) const override;
  std::string_view bytes_of(TokenId token) const override;
  std::size_t last_cut(std::string_view text) const override {
    return WordSplitter::last_cut(text);
  }

 private:
  struct Ranked {
    std::uint32_t rank;
    TokenId merged;
  };
  struct Workspace;

  const Ranked* find_merge(TokenId left, TokenId right) const;
  void encode_word(std::string_view word, Workspace& workspace, std::vector<TokenId>& tokens) const;

  BpeVocabulary vocabulary_;
  WordSplitter splitter_;
  TokenId token_of_byte_[256] = {};
  std::unordered_map<std::uint32_t, Ranked> merges_;  // by left << 16 | right
};

}  // namespace shardgrad
