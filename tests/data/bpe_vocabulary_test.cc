// Files of vocabularies: what they are refused for, and writing them.
#include "data/bpe_vocabulary.h"

#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>

#include "data/byte_alphabet.h"
#include "data/file.h"
#include "tests/support/error_of.h"

namespace shardgrad {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

const std::string kFolder = "tests/golden/tokenizer";

/// vocab.json of the 256 bytes, as a JSON object.
json bytes() {
  json vocab;
  for (int byte = 0; byte < 256; ++byte) {
    vocab[to_byte_alphabet(std::string(1, static_cast<char>(byte)))] = byte;
  }
  return vocab;
}

json with(json object, const char* key, const json& value) {
  object[key] = value;
  return object;
}

/// The error of a vocab.json and a merges.txt.
std::string error_of_files(const std::string& vocab, const std::string& merges) {
  return error_of([&] { parse_bpe_files(vocab, "v.json", merges, "m.txt"); });
}

json tokenizer_json() {
  return {{"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}}},
          {"model",
           {{"type", "BPE"},
            {"vocab", with(bytes(), "ab", 256)},
            {"merges", json::array({json::array({"a", "b"})})}}}};
}

std::string error_of_tokenizer(const json& file) {
  return error_of([&] { parse_tokenizer_json(file.dump(), "t.json"); });
}

TEST(BpeFiles, AreRead) {
  const BpeVocabulary vocabulary =
      parse_bpe_files(with(bytes(), "ab", 256).dump(), "v", "#version: 0.2\r\na b\r\n\n", "m");
  ASSERT_EQ(vocabulary.tokens.size(), 257u);
  EXPECT_EQ(vocabulary.tokens[256], "ab");
  EXPECT_EQ(vocabulary.tokens[0], std::string(1, '\0'));
  ASSERT_EQ(vocabulary.merges.size(), 1u);
  EXPECT_EQ(vocabulary.merges[0].left, 'a');
  EXPECT_EQ(vocabulary.merges[0].merged, 256);
  EXPECT_EQ(vocabulary.end_of_text, std::nullopt);
}

TEST(BpeFiles, BrokenVocabulary) {
  const auto message = [](const std::string& vocab) { return error_of_files(vocab, ""); };
  EXPECT_THAT(message(""), HasSubstr("v.json is not valid JSON at offset 0: "));
  EXPECT_THAT(message("{\"a\": }"), HasSubstr("v.json is not valid JSON at offset 6: "));
  EXPECT_THAT(message(std::string(100000, '[')), HasSubstr("v.json is nested deeper than 64"));
  EXPECT_THAT(message("9e9999"),
              HasSubstr("v.json holds JSON, from offset 0, that cannot be read: number overflow"));
  EXPECT_THAT(message("[]"), HasSubstr("v.json: the vocabulary is array; expected an object"));
  EXPECT_THAT(message("{}"), HasSubstr("byte 0x00 has no token; expected \"\xc4\x80\""));
  json one_less = bytes();
  one_less.erase("a");
  EXPECT_THAT(message(one_less.dump()), HasSubstr("255 tokens have ids up to 255; expected 0, 1"));
  EXPECT_THAT(message(with(bytes(), "xy", 257).dump()), HasSubstr("257 tokens have ids up to 257"));
  EXPECT_THAT(message(with(bytes(), "xy", 7).dump()), HasSubstr("has the id 7 of another token"));
  for (const json& id : {json(-1), json(65536), json(1.5), json("1"), json(), json(1e300)}) {
    EXPECT_THAT(
        message(with(bytes(), "xy", id).dump()),
        HasSubstr("v.json: token \"xy\" has the id " + id.dump() + "; expected an integer"));
  }
  EXPECT_THAT(message(with(bytes(), "x y", 256).dump()), HasSubstr("token \"x y\" is not written"));
  EXPECT_THAT(message(with(bytes(), "", 256).dump()), HasSubstr("token \"\" is not written"));
}

TEST(BpeFiles, BrokenMerges) {
  const auto message = [](const std::string& merges) {
    return error_of_files(with(bytes(), "ab", 256).dump(), merges);
  };
  EXPECT_EQ(message("a b"), "");
  EXPECT_EQ(message(""), "");
  EXPECT_EQ(message("#version: 0.2\na b\nab c\n"),
            "[load_bpe_vocabulary] m.txt, line 3 at offset 18: \"abc\" is not in the vocabulary");
  EXPECT_THAT(message("xx b"), HasSubstr("m.txt, line 1 at offset 0: \"xx\" is not"));
  EXPECT_THAT(message("a b\na b"), HasSubstr("line 2 at offset 4: the merge of \"a\" and \"b\" is "
                                             "there twice"));
  for (const char* line : {"ab", "a ", " b", "a  b", "a b c", "\na b"}) {
    EXPECT_THAT(message(line), HasSubstr("is no merge; expected two tokens and a space")) << line;
  }
}

TEST(TokenizerJson, MergesInBothWritings) {
  EXPECT_EQ(error_of_tokenizer(tokenizer_json()), "");
  json old = tokenizer_json();
  old["model"]["merges"] = json::array({"a b"});
  const BpeVocabulary vocabulary = parse_tokenizer_json(old.dump(), "t");
  ASSERT_EQ(vocabulary.merges.size(), 1u);
  EXPECT_EQ(vocabulary.merges[0].right, 'b');
}

TEST(TokenizerJson, AddedTokens) {
  json file = tokenizer_json();
  file["added_tokens"] = {{{"id", 257}, {"content", "<|endoftext|>"}, {"special", true}},
                          {{"id", 258}, {"content", "a pad"}, {"special", true}}};
  const BpeVocabulary vocabulary = parse_tokenizer_json(file.dump(), "t");
  EXPECT_EQ(vocabulary.end_of_text, TokenId{257});
  EXPECT_EQ(vocabulary.tokens[258], "a pad");
  file["added_tokens"][1]["special"] = false;
  EXPECT_THAT(error_of_tokenizer(file), HasSubstr("the added token \"a pad\" is not special"));
  file["added_tokens"] = {{{"id", 3}, {"content", "ab"}, {"special", true}}};
  EXPECT_THAT(error_of_tokenizer(file), HasSubstr("token \"ab\" has the ids 256 and 3"));
  for (const json& tokens : {json(1), json{1}, json{{{"id", 257}}}}) {
    file["added_tokens"] = tokens;
    EXPECT_THAT(error_of_tokenizer(file), HasSubstr("added")) << tokens;
  }
}

TEST(TokenizerJson, RefusesOtherKinds) {
  const auto model = [](const char* key, const json& value) {
    json file = tokenizer_json();
    file["model"][key] = value;
    return error_of_tokenizer(file);
  };
  EXPECT_EQ(model("dropout", nullptr), "");
  EXPECT_THAT(model("dropout", 0.1), HasSubstr("the model has \"dropout\""));
  EXPECT_THAT(model("ignore_merges", true), HasSubstr("the model has \"ignore_merges\""));
  EXPECT_THAT(model("type", "WordPiece"), HasSubstr("the model is not BPE; expected byte-level"));
  EXPECT_THAT(model("merges", 1), HasSubstr("no list \"merges\""));
  EXPECT_THAT(model("merges", json::array({1})), HasSubstr("t.json, merge 0: expected two tokens"));
  EXPECT_THAT(error_of_tokenizer(1), HasSubstr("there is no object \"model\""));
  EXPECT_THAT(error_of_tokenizer(with(tokenizer_json(), "normalizer", {{"type", "NFC"}})),
              HasSubstr("there is a normalizer"));
  for (const json& splitter : {json(), json{{"type", "Metaspace"}}, json{{"type", "ByteLevel"}}}) {
    EXPECT_THAT(error_of_tokenizer(with(tokenizer_json(), "pre_tokenizer", splitter)),
                HasSubstr("the pre-tokenizer is not ByteLevel"));
  }
}

TEST(BpeFiles, AreWrittenAsHuggingFaceWritesThem) {
  const BpeVocabulary vocabulary = load_bpe_vocabulary(kFolder);
  EXPECT_EQ(to_vocab_json(vocabulary), read_file(kFolder + "/vocab.json", 1 << 20));
  EXPECT_EQ(to_merges_txt(vocabulary), read_file(kFolder + "/merges.txt", 1 << 20));
}

TEST(LoadBpeVocabulary, SaysWhatIsMissingOrTooLarge) {
  const std::string folder = ::testing::TempDir() + "/vocabulary";
  std::filesystem::create_directories(folder);
  EXPECT_THAT(
      error_of([&] { load_bpe_vocabulary(folder); }),
      HasSubstr("there is no tokenizer in " + folder + "; expected \"bytes\", or a folder"));
  std::ofstream(folder + "/vocab.json") << "{}";
  EXPECT_THAT(error_of([&] { load_bpe_vocabulary(folder); }), HasSubstr("there is no tokenizer"));
  std::ofstream(folder + "/merges.txt") << "";
  EXPECT_THAT(error_of([&] { load_bpe_vocabulary(folder); }),
              HasSubstr(folder + "/vocab.json: byte 0x00 has no token"));
  std::ofstream(folder + "/vocab.json") << "{";
  std::filesystem::resize_file(folder + "/vocab.json", std::uintmax_t{1} << 40);  // a hole
  EXPECT_THAT(error_of([&] { load_bpe_vocabulary(folder); }),
              HasSubstr("vocab.json has more than 67108864 bytes"));
}

}  // namespace
}  // namespace shardgrad
