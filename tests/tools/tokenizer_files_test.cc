// The tokenizer's files go with the model, from the run to whatever is made of it.
#include "tests/tools/run_program.h"

namespace shardgrad::tool_testing {
namespace {

class TokenizerFilesTest : public ToolTest {
 protected:
  void SetUp() override {
    ToolTest::SetUp();
    std::filesystem::create_directories(folder_ + "/bpe");
    for (const char* name : kNames) {
      const std::string source = tool_path(std::string("tests/golden/tokenizer/") + name);
      std::filesystem::copy(source, folder_ + "/bpe/" + name);
      contents_.push_back(content(source));
    }
  }

  std::string succeed(const std::string& tool, const std::vector<std::string>& arguments) const {
    const Result result = run(tool, arguments, folder_);
    EXPECT_EQ(result.status, 0) << tool << ": " << result.err;
    return result.out;
  }

  void expect_files_in(const std::string& folder) const {
    for (std::size_t i = 0; i < contents_.size(); ++i) {
      EXPECT_TRUE(content(folder_ + "/" + folder + "/" + kNames[i]) == contents_[i]) << kNames[i];
    }
  }

  std::string generated(const std::string& model) const {
    return succeed("generate", {"--model=" + model, "--prompt=line 4", "--max-new-tokens=8"});
  }

  static constexpr const char* kNames[] = {"vocab.json", "merges.txt"};
  std::vector<std::string> contents_;
};

TEST_F(TokenizerFilesTest, AreInCheckpointsAndConvertedModels) {
  succeed("train", tiny({"--tokenizer=bpe", "--out=out", "--tp=2"}));
  const std::string text = succeed(
      "generate", {"--model=out", "--prompt=line 4", "--tokenizer=bpe", "--max-new-tokens=8"});
  std::filesystem::remove_all(folder_ + "/bpe");
  expect_files_in("out/checkpoints/step-000004");
  EXPECT_EQ(generated("out"), text);
  succeed("convert", {"out", "--out=model"});
  expect_files_in("model");
  EXPECT_EQ(generated("model"), text);
}

// Token files come without a tokenizer, but the model that the run starts from has one.
TEST_F(TokenizerFilesTest, OfTheModelThatARunStartsFrom) {
  succeed("tokenize", {"--data=text.txt", "--tokenizer=bpe", "--out=tokens"});
  succeed("train", tiny({"--tokenizer=bpe", "--out=first"}));
  std::filesystem::remove_all(folder_ + "/bpe");
  succeed("train", tiny({"--data=tokens/train.bin", "--vocab-size=1000", "--out=second",
                         "--init=first/checkpoints/step-000004"}));
  expect_files_in("second/checkpoints/step-000004");
  succeed("train", {"--resume=second", "--steps=6"});
  expect_files_in("second/checkpoints/step-000006");
}

TEST_F(TokenizerFilesTest, BytesHaveNone) {
  succeed("train", tiny({"--out=out"}));
  for (const char* name : kNames) {
    EXPECT_FALSE(std::filesystem::exists(folder_ + "/out/checkpoints/step-000004/" + name));
  }
}

}  // namespace
}  // namespace shardgrad::tool_testing
