// A byte-level BPE vocabulary, in the files that Hugging Face's libraries read and write.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "data/tokenizer.h"

namespace shardgrad {

/// The name of the token between documents.
constexpr std::string_view kEndOfText = "<|endoftext|>";

/// Two neighbouring tokens that become one.
struct BpeMerge {
  TokenId left = 0;
  TokenId right = 0;
  TokenId merged = 0;
};

/// Tokens, and the merges that build them out of bytes.
struct BpeVocabulary {
  std::vector<std::string> tokens;  ///< the bytes of each id; every single byte is among them
  std::vector<BpeMerge> merges;     ///< the first is applied first
  std::optional<TokenId> end_of_text;
};

/// The vocabulary of vocab.json (an object: token -> id) and merges.txt (a line "#version: ...",
/// then two tokens a line), given as the files' contents. The names are for error messages.
/// @throws Error, with the file and the offset, line or token, for malformed JSON, ids that are not
/// 0, 1, ... without gap, a byte that has no token, merges of or into tokens that are not there, or
/// of the same pair twice.
BpeVocabulary parse_bpe_files(std::string_view vocab_json, const std::string& vocab_name,
                              std::string_view merges_txt, const std::string& merges_name);

/// The vocabulary of a tokenizer.json. @throws Error as parse_bpe_files(), and where it asks for
/// what is not GPT-2's kind of byte-level BPE: a normalizer, another pre-tokenizer, tokens found in
/// the text before BPE that are not special.
BpeVocabulary parse_tokenizer_json(std::string_view json, const std::string& name);

/// The vocabulary in a folder: of tokenizer.json if it is there, else of vocab.json and merges.txt.
/// `path` may be a tokenizer.json, too. @throws Error as the two above.
BpeVocabulary load_bpe_vocabulary(const std::string& path);

/// The contents of vocab.json and merges.txt, as Hugging Face's tokenizers write them.
std::string to_vocab_json(const BpeVocabulary& vocabulary);
std::string to_merges_txt(const BpeVocabulary& vocabulary);

}  // namespace shardgrad
