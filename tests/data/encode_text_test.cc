// Text files to tokens: blocks, documents, JSON lines, and learning a vocabulary.
#include "data/encode_text.h"

#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>

#include "data/bpe_tokenizer.h"
#include "data/bpe_trainer.h"
#include "data/byte_tokenizer.h"
#include "data/file.h"
#include "data/jsonl.h"
#include "tests/support/error_of.h"

namespace shardgrad {
namespace {

using ::testing::HasSubstr;

const std::string kGolden = "tests/golden/tokenizer";

class EncodeTextTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto* info = ::testing::UnitTest::GetInstance()->current_test_info();
    folder_ = ::testing::TempDir() + "/" + info->name();
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
  }
  void write(const std::string& name, const std::string& bytes) const {
    std::ofstream(folder_ + "/" + name, std::ios::binary) << bytes;
  }
  std::string folder_;
};

std::vector<TokenId> encode_all(const std::vector<TextRange>& texts, const Tokenizer& tokenizer,
                                int threads = 2) {
  std::vector<TokenId> all;
  encode_text(texts, tokenizer, threads, [&](const std::vector<TokenId>& tokens, std::int64_t) {
    all.insert(all.end(), tokens.begin(), tokens.end());
  });
  return all;
}

const BpeTokenizer& golden_tokenizer() {
  static const BpeTokenizer tokenizer(load_bpe_vocabulary(kGolden));
  return tokenizer;
}

// Several blocks, on any number of threads: as if the text had been encoded in one go.
TEST_F(EncodeTextTest, BlocksDoNotShow) {
  std::string text;
  while (text.size() < (std::size_t{5} << 20)) text += read_file(kGolden + "/corpus.txt", 1 << 20);
  write("text", text);
  std::vector<TokenId> expected = golden_tokenizer().encode(text);
  expected.push_back(0);
  const std::vector<TextRange> texts = text_files(folder_ + "/text");
  EXPECT_EQ(encode_all(texts, golden_tokenizer(), 1), expected);
  EXPECT_EQ(encode_all(texts, golden_tokenizer(), 3), expected);
  std::int64_t bytes = 0;
  encode_text(texts, golden_tokenizer(), 2,
              [&](const std::vector<TokenId>&, std::int64_t more) { bytes += more; });
  EXPECT_EQ(bytes, static_cast<std::int64_t>(text.size()));
}

TEST_F(EncodeTextTest, DocumentsEnd) {
  write("a.txt", "one");
  write("b.txt", "two\n");
  write("c.jsonl",
        "{\"text\": \"three\"}\n\n  \r\n{\"id\": 1, \"text\": \"\\u00e9\\n\"}\n{\"text\": \"\"}");
  write("d.bin", std::string(10, '\0'));
  write("e.txt", "");
  const ByteTokenizer bytes;
  EXPECT_EQ(bytes.decode(encode_all(text_files(folder_), bytes)), "one\ntwo\nthree\n\xc3\xa9\n");
  EXPECT_EQ(golden_tokenizer().decode(encode_all(text_files(folder_), golden_tokenizer())),
            "one<|endoftext|>two\n<|endoftext|>three<|endoftext|>\xc3\xa9\n<|endoftext|>");
}

TEST_F(EncodeTextTest, JsonLinesAcrossBlocks) {
  std::string file, text;
  for (int i = 0; file.size() < (std::size_t{3} << 20); ++i) {
    const std::string document = fmt::format("document {} has words", i);
    file += fmt::format("{{\"meta\": [{{\"text\": 1}}], \"text\": \"{}\"}}\n", document);
    text += document + "\n";
  }
  write("d.jsonl", file);
  const ByteTokenizer bytes;
  EXPECT_EQ(bytes.decode(encode_all(text_files(folder_ + "/d.jsonl"), bytes)), text);
  write("d.jsonl", file + "{\"text\": 7}\n");
  EXPECT_THAT(error_of([&] { encode_all(text_files(folder_), bytes); }),
              HasSubstr(fmt::format("d.jsonl: the \"text\" of the object at offset {} is a number",
                                    file.size())));
}

TEST_F(EncodeTextTest, SaysWhatIsNoText) {
  EXPECT_THAT(error_of([&] { text_files(folder_ + "/x"); }), HasSubstr("x does not exist"));
  EXPECT_THAT(error_of([&] { text_files(folder_); }), HasSubstr("holds no text"));
  write("blank", std::string(std::size_t{65} << 20, ' '));
  EXPECT_THAT(error_of([&] { encode_all(text_files(folder_ + "/blank"), golden_tokenizer()); }),
              HasSubstr("the 67108864 bytes from offset 0 on hold no space between words"));
  const std::vector<TextRange> texts = text_files(folder_ + "/blank");
  std::filesystem::resize_file(folder_ + "/blank", 10);
  EXPECT_THAT(error_of([&] { encode_all(texts, ByteTokenizer()); }),
              HasSubstr("blank ended at offset 10; expected 68157440 bytes"));
}

TEST_F(EncodeTextTest, SplitsWhereTextCanBeCut) {
  write("a", "aaaa bbbb cccc dddd ");                                          // 20 bytes
  write("b.jsonl", "{\"text\":\"x\"}\n{\"text\":\"y\"}\n{\"text\":\"z\"}\n");  // 39 bytes
  const std::vector<TextRange> texts = text_files(folder_);
  const auto split = [&](double fraction) {
    return split_text(texts, fraction, golden_tokenizer());
  };
  EXPECT_TRUE(split(0.0).held_out.empty());
  ASSERT_EQ(split(0.0).training.size(), 2u);
  const TextSplit lines = split(0.3);  // at byte 41: inside the second line
  ASSERT_EQ(lines.training.size(), 2u);
  EXPECT_EQ(lines.training[1].end, 13);
  ASSERT_EQ(lines.held_out.size(), 1u);
  EXPECT_EQ(lines.held_out[0].begin, 13);
  EXPECT_EQ(lines.held_out[0].end, 39);
  const TextSplit words = split(0.79);  // at byte 12: after "bbbb cc"
  ASSERT_EQ(words.training.size(), 1u);
  EXPECT_EQ(words.training[0].end, 9);
  ASSERT_EQ(words.held_out.size(), 2u);
  EXPECT_EQ(words.held_out[0].begin, 9);
  EXPECT_EQ(split(0.99).training.size(), 0u) << "nothing can be cut off the first word";
  EXPECT_THAT(error_of([&] { split(1.0); }), HasSubstr("expected 0 <= held_out_fraction < 1"));
}

TEST(Jsonl, SaysWhereALineIsMalformed) {
  const auto message = [](const std::string& line) {
    return error_of([&] { text_of_json_line(line, "f.jsonl", 100); });
  };
  EXPECT_EQ(text_of_json_line("{\"text\": \"\\ud83d\\ude00\", \"a\": {\"text\": [1]}}", "f", 0),
            "\xf0\x9f\x98\x80");
  EXPECT_THAT(message("{\"text\": \"x\""),
              HasSubstr("f.jsonl: the line at offset 100 is not JSON at "
                        "offset 112: "));
  EXPECT_THAT(message("{\"text\": x}"), HasSubstr("offset 109: "));
  EXPECT_THAT(message("{\"text\": \"\xff\"}"), HasSubstr("offset 110: "));
  EXPECT_THAT(message("{\"a\": \"x\"}"), HasSubstr("the object at offset 100 has no \"text\""));
  EXPECT_THAT(message("{\"text\": null}"), HasSubstr("is null; expected a string"));
  EXPECT_THAT(message("{\"text\": {\"text\": \"x\"}}"),
              HasSubstr("is an object; expected a string"));
  EXPECT_THAT(message("[\"text\"]"),
              HasSubstr("the line at offset 100 is a list; expected an obj"));
  EXPECT_THAT(message("\"text\""), HasSubstr("is a string; expected an object"));
  EXPECT_THAT(message("{\"a\": " + std::string(1000000, '[')), HasSubstr("is not JSON"));
}

// Byte for byte what Hugging Face's BpeTrainer learnt.
TEST_F(EncodeTextTest, LearnsHuggingFacesVocabulary) {
  const WordCounts words = count_words(text_files(kGolden + "/corpus.txt"), 2, [](std::int64_t) {});
  std::int64_t size = 0;
  const BpeVocabulary vocabulary = train_bpe(words, 1000, [&](std::int64_t now) { size = now; });
  EXPECT_EQ(size, 1000);
  EXPECT_TRUE(to_vocab_json(vocabulary) == read_file(kGolden + "/vocab.json", 1 << 20));
  EXPECT_TRUE(to_merges_txt(vocabulary) == read_file(kGolden + "/merges.txt", 1 << 20));
}

TEST(TrainBpe, StopsWhereNothingIsFrequent) {
  const auto ignore = [](std::int64_t) {};
  EXPECT_EQ(train_bpe({}, 300, ignore).tokens.size(), 257u);
  EXPECT_EQ(train_bpe({{"ab", 1}}, 300, ignore).tokens.size(), 257u);
  const BpeVocabulary vocabulary = train_bpe({{"abab", 2}, {"cd", 3}}, 300, ignore);
  ASSERT_EQ(vocabulary.tokens.size(), 260u);
  EXPECT_EQ(vocabulary.tokens[257], "ab");
  EXPECT_EQ(vocabulary.tokens[258], "cd");
  EXPECT_EQ(vocabulary.tokens[259], "abab");
  EXPECT_THAT(error_of([&] { train_bpe({}, 256, ignore); }), HasSubstr("vocab_size 256 is out of"));
  EXPECT_THAT(error_of([&] { train_bpe({}, 65537, ignore); }), HasSubstr("to 65536"));
}

}  // namespace
}  // namespace shardgrad
