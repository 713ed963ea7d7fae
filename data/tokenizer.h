// What turns text into token ids and back.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace shardgrad {

/// The number of a token in a vocabulary. 16 bits hold GPT-2's 50,257 and are what token files
/// hold, so a vocabulary has 65,536 tokens at most.
using TokenId = std::uint16_t;
constexpr std::int64_t kMostTokens = 65536;

/// A vocabulary and the way from text to it. Immutable: threads may share one.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  /// Ids are 0 .. vocab_size() - 1.
  virtual std::int64_t vocab_size() const = 0;

  /// The token that stands between documents. No text is encoded to it.
  virtual std::optional<TokenId> end_of_text() const = 0;

  /// Appends the tokens of `text` to `tokens`. Any bytes can be encoded, UTF-8 or not, and decoding
  /// gives them back.
  virtual void encode(std::string_view text, std::vector<TokenId>& tokens) const = 0;

  /// The bytes of one token. A character of UTF-8 may be spread over several tokens.
  /// @throws Error for an id outside the vocabulary.
  virtual std::string_view bytes_of(TokenId token) const = 0;

  /// The last place where `text` can be cut so that its parts, encoded one by one, give the tokens
  /// of the whole, whatever follows it; 0 where there is none.
  virtual std::size_t last_cut(std::string_view text) const = 0;

  /// The tokens of `text`.
  std::vector<TokenId> encode(std::string_view text) const;

  /// The bytes of the tokens, one after the other: UTF-8 only if the whole is.
  /// @throws Error for an id outside the vocabulary, which names its position.
  std::string decode(const std::vector<TokenId>& tokens) const;
};

/// The tokenizer that a command line names: "bytes" is ByteTokenizer; anything else is a folder for
/// load_bpe_vocabulary(). @throws Error when it cannot be read, or is malformed.
std::shared_ptr<const Tokenizer> load_tokenizer(const std::string& name);

}  // namespace shardgrad
