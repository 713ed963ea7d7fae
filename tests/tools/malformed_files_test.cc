// Files of others that are malformed, given to the programs: one line that names the file and the
// place in it, exit status 1; what a run had written is left as it was.
#include <sys/stat.h>

#include <cstring>
#include <functional>

#include "tests/tools/run_program.h"

namespace shardgrad::tool_testing {
namespace {

constexpr const char* kCheckpoint = "run/checkpoints/step-000004";

class MalformedFilesTest : public ToolTest {
 protected:
  void SetUp() override {
    ToolTest::SetUp();
    const Result trained = run("train", tiny({"--out=run"}), folder_);
    ASSERT_EQ(trained.status, 0) << trained.err;
    std::filesystem::copy(path(kCheckpoint), path("model"));
  }

  std::string path(const std::string& name) const { return folder_ + "/" + name; }

  /// Calls `check` while the file `name` has the content that `changed` makes of it.
  void with(const std::string& name, const std::function<std::string(std::string)>& changed,
            const std::function<void()>& check) const {
    const std::string before = content(path(name));
    write(name, changed(before));
    check();
    write(name, before);
  }

  void expect_refused(const std::string& program, const std::vector<std::string>& arguments,
                      const std::string& message) const {
    SCOPED_TRACE(program + " " + ::testing::PrintToString(arguments));
    expect_error(run(program, arguments, folder_), program, message);
  }

  /// All programs that read models, with the folder "model".
  void expect_refused_as_model(const std::string& message) const {
    expect_refused("train", tiny({"--init=model", "--out=new"}), message);
    EXPECT_FALSE(std::filesystem::exists(path("new")));
    for (const char* tp : {"--tp=1", "--tp=2"}) {
      expect_refused("generate", {"--model=model", "--prompt=a", tp}, message);
    }
    expect_refused("convert", {"model", "--out=new"}, message);
    EXPECT_FALSE(std::filesystem::exists(path("new")));
  }
};

std::string cut(const std::string& text) { return text.substr(0, text.size() / 2); }

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const auto at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

TEST_F(MalformedFilesTest, Models) {
  with("model/model.safetensors", cut,
       [&] { expect_refused_as_model("model/model.safetensors: tensor "); });
  with(
      "model/model.safetensors", [](std::string text) { return text.replace(7, 1, "\x7f"); },
      [&] { expect_refused_as_model("model/model.safetensors says at offset 0 that its header"); });
  with(
      "model/model.safetensors", [](std::string text) { return text.replace(8, 1, "["); },
      [&] { expect_refused_as_model("model/model.safetensors is not valid JSON at offset "); });
  with("model/config.json", cut,
       [&] { expect_refused_as_model("model/config.json is not valid JSON at offset "); });
  // A petabyte, if it were believed before the tensors have been looked at.
  const auto huge = [](const std::string& text) {
    return replaced(replaced(replaced(text, "\"n_embd\": 32", "\"n_embd\": 1048576"),
                             "\"n_layer\": 1", "\"n_layer\": 1000"),
                    "\"n_inner\": 128", "\"n_inner\": 4194304");
  };
  with("model/config.json", huge, [&] { expect_refused_as_model(", as config.json says"); });
}

TEST_F(MalformedFilesTest, ModelsInSeveralFiles) {
  const Result split = run("convert", {"run", "--out=many", "--max-shard-size=50KB"}, folder_);
  ASSERT_EQ(split.status, 0) << split.err;
  std::filesystem::remove_all(path("model"));
  std::filesystem::rename(path("many"), path("model"));
  const std::string index = "model/model.safetensors.index.json";
  with(index, cut, [&] {
    expect_refused_as_model("model.safetensors.index.json is not valid JSON at offset ");
  });
  with(
      index,
      [](const std::string& text) { return replaced(text, "model-00002-of", "model-00009-of"); },
      [&] { expect_refused_as_model("model-00009-of-00003.safetensors: No such file"); });
  with("model/model-00002-of-00003.safetensors", cut,
       [&] { expect_refused_as_model("model-00002-of-00003.safetensors: tensor "); });
}

TEST_F(MalformedFilesTest, APipeIsNotWaitedFor) {
  std::filesystem::remove(path("model/model.safetensors"));
  ASSERT_EQ(mkfifo(path("model/model.safetensors").c_str(), 0600), 0);
  expect_refused_as_model("model/model.safetensors is no regular file");
}

TEST_F(MalformedFilesTest, RunsThatAreResumed) {
  const std::string metrics = content(path("run/metrics.jsonl"));
  const auto refused = [&](const std::string& message) {
    for (const char* tp : {"--tp=1", "--tp=2"})
      expect_refused("train", {"--resume=run", "--steps=6", tp}, message);
  };
  const std::string state = std::string(kCheckpoint) + "/trainer_state.json";
  with(state, cut, [&] { refused("trainer_state.json is not valid JSON at offset "); });
  with(
      state, [](const std::string& text) { return replaced(text, "\"step\": 4", "\"step\": -4"); },
      [&] { refused("trainer_state.json has \"step\": -4; expected an integer in [0, "); });
  with(std::string(kCheckpoint) + "/optimizer.safetensors", cut,
       [&] { refused("optimizer.safetensors: tensor "); });
  EXPECT_EQ(content(path("run/metrics.jsonl")), metrics);
  const std::size_t second = metrics.find('\n') + 1;
  const auto broken = [&](std::string text) { return text.replace(second, 1, "]"); };
  with("run/metrics.jsonl", broken, [&] {
    refused("run/metrics.jsonl is not valid JSON at offset " + std::to_string(second));
    EXPECT_EQ(content(path("run/metrics.jsonl")), broken(metrics));
  });
  with(
      "run/metrics.jsonl",
      [](const std::string& text) { return replaced(text, "\"step\":2", "\"stop\":2"); },
      [&] {
        refused("run/metrics.jsonl, in the line at offset " + std::to_string(second) +
                ", has no \"step\"");
      });
  EXPECT_EQ(run("train", {"--resume=run", "--steps=6"}, folder_).status, 0);
}

TEST_F(MalformedFilesTest, Vocabularies) {
  const auto refused = [&](const std::string& message) {
    expect_refused("train", tiny({"--tokenizer=bpe", "--out=new"}), message);
    EXPECT_FALSE(std::filesystem::exists(path("new")));
    expect_refused("tokenize", {"--data=text.txt", "--tokenizer=bpe", "--out=tokens"}, message);
    EXPECT_FALSE(std::filesystem::exists(path("tokens/train.bin")));
  };
  std::filesystem::create_directories(path("bpe"));
  for (const char* name : {"vocab.json", "merges.txt"}) {
    std::filesystem::copy(tool_path(std::string("tests/golden/tokenizer/") + name),
                          path(std::string("bpe/") + name));
  }
  with("bpe/vocab.json", cut, [&] { refused("bpe/vocab.json is not valid JSON at offset "); });
  with(
      "bpe/vocab.json", [](std::string) { return std::string(100000, '['); },
      [&] { refused("bpe/vocab.json is nested deeper than 64 levels"); });
  with(
      "bpe/vocab.json",
      [](const std::string& text) { return replaced(text, ":999", ":4294967296"); },
      [&] { refused("has the id 4294967296; expected an integer from 0 to "); });
  with(
      "bpe/merges.txt", [](const std::string& text) { return text + "no merge here\n"; },
      [&] { refused("bpe/merges.txt, line 745 at offset 4722: "); });
  std::filesystem::copy(tool_path("tests/golden/tokenizer/tokenizer.json"),
                        path("bpe/tokenizer.json"));
  with("bpe/tokenizer.json", cut,
       [&] { refused("bpe/tokenizer.json is not valid JSON at offset "); });
}

TEST_F(MalformedFilesTest, TokenFiles) {
  const auto refused = [&](const std::string& bytes, const std::string& message) {
    write("train.bin", bytes);
    std::filesystem::remove_all(path("new"));  // ids are looked at when a step needs them
    expect_refused("train", tiny({"--data=train.bin", "--vocab-size=300", "--out=new"}), message);
  };
  const auto header = [](std::int32_t version, std::int32_t tokens) {
    std::string text(1024, '\0');
    const std::int32_t fields[] = {20240520, version, tokens};
    std::memcpy(text.data(), fields, sizeof(fields));
    return text;
  };
  refused(std::string(1001, 'a'), "train.bin has 1001 bytes, and half a token at offset 1000");
  // Of another magic number, the header itself is tokens, which are outside of the vocabulary.
  refused(std::string(2000, 'a'), "train.bin: token id 24929 at offset ");
  refused(header(7, 0), "train.bin: the version at offset 4 is 7");
  refused(header(1, 2147483647), "the header at offset 8 promises 2147483647 tokens");
  refused(header(1, 500) + std::string(1000, 'a'), "train.bin: token id 24929 at offset ");
}

}  // namespace
}  // namespace shardgrad::tool_testing
