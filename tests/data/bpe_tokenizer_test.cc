// GPT-2's tokenizer against Hugging Face's, by way of the files that make_tokenizer_golden.py
// wrote.
#include "data/bpe_tokenizer.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "data/byte_alphabet.h"
#include "data/file.h"
#include "tests/support/error_of.h"

namespace shardgrad {
namespace {

const std::string kFolder = "tests/golden/tokenizer";

std::string golden_file(const std::string& name) {
  return read_file(kFolder + "/" + name, 1 << 20);
}

std::string from_hex(const std::string& digits) {
  std::string bytes;
  for (std::size_t i = 0; i < digits.size(); i += 2) {
    bytes += static_cast<char>(std::stoi(digits.substr(i, 2), nullptr, 16));
  }
  return bytes;
}

/// The vocabulary of the 256 bytes, in the order of their values, and of `more` tokens.
BpeVocabulary bytes_and(const std::vector<std::string>& more) {
  BpeVocabulary vocabulary;
  for (int byte = 0; byte < 256; ++byte) {
    vocabulary.tokens.emplace_back(1, static_cast<char>(byte));
  }
  for (const std::string& token : more) vocabulary.tokens.push_back(token);
  return vocabulary;
}

void expect_golden_ids(const BpeTokenizer& tokenizer) {
  const auto golden = nlohmann::json::parse(golden_file("golden.json"));
  ASSERT_GT(golden.size(), 200u);
  for (const auto& entry : golden) {
    const std::string name = entry["text"];
    const std::string text = name == "corpus.txt" ? golden_file(name) : from_hex(name);
    const auto ids = entry["ids"].get<std::vector<TokenId>>();
    EXPECT_EQ(tokenizer.encode(text), ids) << text.substr(0, 100);
    EXPECT_EQ(tokenizer.decode(ids), text);
  }
}

TEST(BpeTokenizer, IdsAreHuggingFaces) {
  const BpeTokenizer tokenizer(load_bpe_vocabulary(kFolder + "/tokenizer.json"));
  EXPECT_EQ(tokenizer.vocab_size(), 1000);
  EXPECT_EQ(tokenizer.end_of_text(), TokenId{0});
  expect_golden_ids(tokenizer);
}

TEST(BpeTokenizer, BothKindsOfFilesHoldTheSame) {
  const BpeTokenizer tokenizer(
      parse_bpe_files(golden_file("vocab.json"), "v", golden_file("merges.txt"), "m"));
  EXPECT_EQ(tokenizer.end_of_text(), TokenId{0});
  expect_golden_ids(tokenizer);
}

// Merging by hand: the first of the vocabulary's merges goes first, and of several places the left.
TEST(BpeTokenizer, MergesByRankThenFromTheLeft) {
  BpeVocabulary vocabulary = bytes_and({"bc", "ab", "aa", "aaa"});
  vocabulary.merges = {{'b', 'c', 256}, {'a', 'b', 257}, {'a', 'a', 258}, {258, 'a', 259}};
  const BpeTokenizer tokenizer(std::move(vocabulary));
  EXPECT_EQ(tokenizer.encode("abc"), (std::vector<TokenId>{'a', 256}));
  EXPECT_EQ(tokenizer.encode("abab"), (std::vector<TokenId>{257, 257}));
  EXPECT_EQ(tokenizer.encode("aaa"), (std::vector<TokenId>{259}));
  EXPECT_EQ(tokenizer.encode("aaaa"), (std::vector<TokenId>{258, 258}));
  EXPECT_EQ(tokenizer.encode("aaaab"), (std::vector<TokenId>{259, 257}));
  EXPECT_EQ(tokenizer.encode("a b"), (std::vector<TokenId>{'a', ' ', 'b'})) << "between words";
  EXPECT_EQ(tokenizer.end_of_text(), std::nullopt);
}

// A quadratic method would take minutes for this.
TEST(BpeTokenizer, LongWordsTakeNoLonger) {
  BpeVocabulary vocabulary = bytes_and({"aa"});
  vocabulary.merges = {{'a', 'a', 256}};
  const BpeTokenizer tokenizer(std::move(vocabulary));
  const std::vector<TokenId> tokens = tokenizer.encode(std::string(1 << 20, 'a'));
  EXPECT_EQ(tokens, std::vector<TokenId>(1 << 19, 256));
  EXPECT_EQ(tokenizer.encode(std::string(1 << 20, ' ')).size(), std::size_t{1 << 20});
  EXPECT_EQ(tokenizer.encode(std::string(1 << 20, '\xff')).size(), std::size_t{1 << 20});
}

// Encoding a text in parts that were cut anywhere allowed changes nothing.
TEST(BpeTokenizer, CutsDoNotShow) {
  const BpeTokenizer tokenizer(load_bpe_vocabulary(kFolder));
  std::string text = golden_file("corpus.txt").substr(0, 3000);
  text +=
      "x \xff y\xff z\xe2\x82 it's \xc2\xa0 a\xc2\xa0 b\xe3\x80\x80\nc\xe3\x80\x82 d  e\r\n\r\n "
      "f'\n's";
  const std::vector<TokenId> whole = tokenizer.encode(text);
  int cuts = 0;
  for (std::size_t size = 0; size <= text.size(); ++size) {
    const std::size_t cut = tokenizer.last_cut(std::string_view(text).substr(0, size));
    ASSERT_LE(cut, size);
    std::vector<TokenId> parts = tokenizer.encode(text.substr(0, cut));
    tokenizer.encode(std::string_view(text).substr(cut), parts);
    ASSERT_EQ(parts, whole) << "cut at " << cut;
    cuts += cut + 1 == size;
  }
  EXPECT_GT(cuts, 300);
  EXPECT_EQ(tokenizer.last_cut(""), 0u);
  EXPECT_EQ(tokenizer.last_cut("word"), 0u);
  EXPECT_EQ(tokenizer.last_cut("   "), 0u);
  EXPECT_EQ(tokenizer.last_cut("ab cd"), 2u);
  EXPECT_EQ(tokenizer.last_cut("ab  "), 2u) << "not inside of white space";
  EXPECT_EQ(tokenizer.last_cut("ab\xc2\xa0 "), 0u) << "nor after white space beyond ASCII";
}

TEST(BpeTokenizer, SaysWhichTokenIsOutsideTheVocabulary) {
  const BpeTokenizer tokenizer(bytes_and({}));
  EXPECT_EQ(error_of([&] {
              tokenizer.decode({1, 256});
            }),
            "[Tokenizer::decode] token 256 at position 1 is outside the vocabulary; expected 0 to "
            "255");
  EXPECT_EQ(error_of([&] { tokenizer.bytes_of(300); }),
            "[BpeTokenizer::bytes_of] token 300 is outside the vocabulary; expected 0 to 255");
}

TEST(WordSplitter, PiecesAreGpt2s) {
  using Pieces = std::vector<std::string_view>;
  const WordSplitter splitter;
  EXPECT_EQ(splitter.split("Hello, world's  1st\n"),
            (Pieces{"Hello", ",", " world", "'s", " ", " 1", "st", "\n"}));
  EXPECT_EQ(splitter.split("a\xff\xfe b"), (Pieces{"a", "\xff\xfe", " b"}));
  EXPECT_TRUE(splitter.split("").empty());
}

// Radford et al.'s examples of the characters, and that each byte has one of its own.
TEST(ByteAlphabet, IsGpt2s) {
  EXPECT_EQ(to_byte_alphabet(" a\n"),
            "\xc4\xa0"
            "a"
            "\xc4\x8a");
  std::string bytes;
  for (int byte = 0; byte < 256; ++byte) bytes += static_cast<char>(byte);
  EXPECT_EQ(from_byte_alphabet(to_byte_alphabet(bytes)), bytes);
  EXPECT_EQ(from_byte_alphabet(" "), std::nullopt);
  EXPECT_EQ(from_byte_alphabet("\xe2\x82\xac"), std::nullopt);
  EXPECT_EQ(from_byte_alphabet("\xff"), std::nullopt);
}

}  // namespace
}  // namespace shardgrad
