// Data of every kind: the program that makes token files, and training on them.
#include <nlohmann/json.hpp>

#include "data/token_files.h"
#include "tests/tools/run_program.h"

namespace shardgrad::tool_testing {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;

class DataTest : public ToolTest {
 protected:
  void SetUp() override {
    ToolTest::SetUp();
    for (const char* name : {"vocab.json", "merges.txt"}) {
      std::filesystem::create_directories(folder_ + "/bpe");
      std::filesystem::copy(tool_path(std::string("tests/golden/tokenizer/") + name),
                            folder_ + "/bpe/" + name);
    }
  }

  Result tokenize(std::vector<std::string> arguments) {
    arguments.push_back("--data=text.txt");
    const Result result = run("tokenize", arguments, folder_);
    EXPECT_EQ(result.status, 0) << result.err;
    EXPECT_EQ(result.err, "") << "nothing takes two seconds here";
    return result;
  }

  /// The losses of a tiny run.
  std::vector<double> losses(const std::vector<std::string>& changes) {
    std::vector<std::string> arguments = tiny(changes);
    arguments.push_back("--out=out");
    std::filesystem::remove_all(folder_ + "/out");
    last_ = run("train", arguments, folder_);
    EXPECT_EQ(last_.status, 0) << last_.err;
    std::vector<double> result;
    for (const std::string& line : lines(content(folder_ + "/out/metrics.jsonl"))) {
      result.push_back(json::parse(line)["loss"]);
    }
    return result;
  }

  void expect_refused(const std::vector<std::string>& changes, const std::string& message) {
    SCOPED_TRACE(::testing::PrintToString(changes));
    std::vector<std::string> arguments = tiny(changes);
    arguments.push_back("--out=refused");
    expect_error(run("train", arguments, folder_), "train", message);
  }

  Result last_;
};

// Text, and token files in both formats, hold the same tokens, so the same is learnt from them.
TEST_F(DataTest, TokenFilesAreTheText) {
  tokenize({"--tokenizer=bpe", "--out=nano"});
  tokenize({"--tokenizer=bpe", "--out=shards", "--format=llmc", "--shard-tokens=100"});
  const std::vector<double> nano = losses({"--data=nano/train.bin", "--vocab-size=1000"});
  EXPECT_EQ(nano.size(), 4u);
  EXPECT_THAT(last_.out, HasSubstr("held out, from nano/val.bin"));
  EXPECT_THAT(last_.out, HasSubstr(" nats per token"));
  EXPECT_THAT(last_.out, Not(HasSubstr("A sample")));
  EXPECT_EQ(losses({"--data=shards/train_*.bin", "--tokenizer=bpe"}), nano);
  EXPECT_THAT(last_.out, HasSubstr("A sample"));
  EXPECT_EQ(losses({"--data=shards/train_*.bin", "--tokenizer=bpe", "--tp=2"}).size(), 4u);
  EXPECT_GT(losses({"--tokenizer=bpe"})[0], 6.0) << "about ln 1000";
  EXPECT_EQ(json::parse(content(folder_ + "/out/config.json"))["vocab_size"], 1000);
}

// A path may hold any bytes; JSON and TOML may not.
TEST_F(DataTest, PathsThatAreNotUtf8) {
  const std::string path = "te\xffxt.txt";
  const std::vector<double> expected = losses({});
  std::filesystem::copy(folder_ + "/text.txt", folder_ + "/" + path);
  EXPECT_EQ(losses({"--data=" + path}), expected);
  EXPECT_EQ(json::parse(content(folder_ + "/out/config.json"))["data"], "te\uFFFDxt.txt");
  const Result again = run("train", {"--config=out/run.toml", "--out=again"}, folder_);
  EXPECT_EQ(again.status, 0) << again.err;
  EXPECT_EQ(content(folder_ + "/again/config.json"), content(folder_ + "/out/config.json"));
}

TEST_F(DataTest, BytesAreBytesInAnyFile) {
  tokenize({"--out=bytes", "--val-fraction=0.1"});
  const TokenDataset tokens = open_token_files(folder_ + "/bytes/train.bin", 256);
  const std::string text = content(folder_ + "/text.txt");
  ASSERT_GT(tokens.size(), 1000);
  for (std::int64_t i = 0; i + 1 < tokens.size(); ++i) {
    ASSERT_EQ(tokens[i], static_cast<unsigned char>(text[static_cast<std::size_t>(i)]));
  }
  losses({});
  EXPECT_THAT(last_.out, HasSubstr(" nats per byte"));
}

TEST_F(DataTest, JsonLinesAndOtherHeldOutData) {
  std::string documents;
  for (int i = 0; i < 200; ++i) documents += "{\"text\": \"document " + std::to_string(i) + "\"}\n";
  write("d.jsonl", documents);
  losses({"--data=d.jsonl", "--val-data=text.txt"});
  EXPECT_THAT(last_.out, HasSubstr("d.jsonl: 2,490 bytes to learn from"));
  EXPECT_THAT(last_.out, HasSubstr("held out, from text.txt"));
}

TEST_F(DataTest, LearnsAVocabulary) {
  const Result result = tokenize({"--train-bpe=300", "--out=learnt"});
  EXPECT_THAT(result.out, HasSubstr("wrote learnt/vocab.json and merges.txt: 300 tokens\n"));
  EXPECT_EQ(json::parse(content(folder_ + "/learnt/vocab.json")).size(), 300u);
  tokenize({"--tokenizer=learnt", "--out=tokens", "--val-fraction=0"});
  EXPECT_FALSE(std::filesystem::exists(folder_ + "/tokens/val.bin"));
  // "<|endoftext|>" has the first id, and ends the only document.
  const TokenDataset tokens = open_token_files(folder_ + "/tokens/train.bin", 300);
  EXPECT_EQ(tokens[tokens.size() - 1], 0);
}

TEST_F(DataTest, SaysWhatIsWrong) {
  tokenize({"--tokenizer=bpe", "--out=nano"});
  expect_refused({"--data=nano/train.bin"}, "unknown vocabulary; give --vocab-size (50257 for");
  expect_refused({"--data=nano/train.bin", "--vocab-size=10"}, "is outside the vocabulary of 10");
  expect_refused({"--data=nano/none*.bin", "--vocab-size=10"}, "none*.bin does not exist");
  expect_refused({"--data=nano/train.bin", "--vocab-size=1000", "--val-data=text.txt"},
                 "are not of the same kind");
  expect_refused({"--tokenizer=nowhere"}, "there is no tokenizer in nowhere");
  expect_refused({"--tokenizer=bpe", "--vocab-size=999"},
                 "--vocab-size 999 is below the tokenizer");
  write("odd.bin", "abc");
  expect_refused({"--data=odd.bin", "--vocab-size=100"}, "half a token at offset 2");
  write("bad.jsonl", "{\"text\": \"x\"}\n{\"text\": 1}\n");
  expect_refused({"--data=bad.jsonl"}, "bad.jsonl: the \"text\" of the object at offset 14 is a");
  expect_error(run("tokenize", {"--data=none", "--out=o"}, folder_), "tokenize",
               "none does not ex");
  expect_error(run("tokenize", {"--data=text.txt"}, folder_), "tokenize", "--out");
  EXPECT_EQ(run("tokenize", {"--help"}, folder_).status, 0);
}

}  // namespace
}  // namespace shardgrad::tool_testing
