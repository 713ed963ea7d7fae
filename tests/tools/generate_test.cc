// The generation program: texts from a model that the training program has saved.
#include "tests/tools/run_program.h"

namespace shardgrad::tool_testing {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::StartsWith;

class GenerateTest : public ToolTest {
 protected:
  void SetUp() override {
    ToolTest::SetUp();
    const Result trained = run("train", tiny({"--steps=30", "--lr=1e-2", "--out=run"}), folder_);
    ASSERT_EQ(trained.status, 0) << trained.err;
  }

  Result generate(std::vector<std::string> arguments, const std::string& program = "generate",
                  const std::string& model = "run") const {
    arguments.insert(arguments.begin(), {"--model=" + model, "--threads=1"});
    return run(program, arguments, folder_);
  }

  std::string text_of(const std::vector<std::string>& arguments,
                      const std::string& program = "generate") const {
    const Result result = generate(arguments, program);
    EXPECT_EQ(result.status, 0) << result.err;
    EXPECT_THAT(result.err, MatchesRegex("[0-9]+ tokens in [0-9.]+ s, of which .* [0-9]+ tokens/s; "
                                         "key-value cache [0-9.]+ MiB per rank\n"));
    return result.out;
  }

  /// Runs the program with `input` on stdin.
  Result generate_from(const std::string& input, const std::string& options) const {
    write("input.txt", input);
    return run(
        "/bin/sh",
        {"-c", tool_path("generate") + " --model=run --threads=1 " + options + " < input.txt"},
        folder_);
  }
};

TEST_F(GenerateTest, TheTextDependsOnTheSeedAlone) {
  // Longer than the context of 16: --seq-len makes it no shorter than 256.
  const std::vector<std::string> options{"--prompt=line 1", "--max-new-tokens=300"};
  const auto with = [&](std::vector<std::string> more) {
    more.insert(more.begin(), options.begin(), options.end());
    return more;
  };
  const std::string text = text_of(with({}));
  EXPECT_THAT(text, StartsWith("line 1"));
  EXPECT_GT(text.size(), 300u);
  EXPECT_EQ(text_of(with({"--tp=2"})), text);
  EXPECT_EQ(text_of(with({"--seed=1234"})), text);
  EXPECT_NE(text_of(with({"--seed=1"})), text);
  EXPECT_EQ(text_of(with({"--device=cuda"}), "tests/tools/generate_on_simt"), text);
}

TEST_F(GenerateTest, AnyLayoutWritesTheSameText) {
  const Result trained =
      run("train", tiny({"--steps=30", "--lr=1e-2", "--n-heads=4", "--out=four"}), folder_);
  ASSERT_EQ(trained.status, 0) << trained.err;
  for (const char* sampling : {"--greedy", "--seed=3"}) {
    const std::string text =
        generate({"--prompt=line", "--max-new-tokens=100", sampling}, "generate", "four").out;
    EXPECT_GT(text.size(), 100u);
    for (const char* tp : {"--tp=2", "--tp=4"}) {
      const Result found =
          generate({"--prompt=line", "--max-new-tokens=100", sampling, tp}, "generate", "four");
      EXPECT_EQ(found.out, text) << tp << " " << sampling << found.err;
    }
  }
}

TEST_F(GenerateTest, SamplingOptionsCount) {
  const auto text = [&](const std::string& option) {
    return text_of({"--prompt=line", "--max-new-tokens=40", option});
  };
  const std::string greedy = text("--greedy");
  EXPECT_EQ(text("--temperature=0"), greedy);
  EXPECT_EQ(text("--top-k=1"), greedy);
  EXPECT_EQ(text("--top-p=1e-9"), greedy);
  const std::string plain = text("--top-k=0");
  EXPECT_NE(plain, greedy);
  EXPECT_NE(text("--top-k=3"), plain);
  EXPECT_NE(text("--top-p=0.3"), plain);
  EXPECT_NE(text("--repetition-penalty=3"), plain);
  EXPECT_NE(text("--temperature=5"), plain);
  EXPECT_EQ(text("--dtype=fp64"), plain);
}

TEST_F(GenerateTest, PromptsFromAnywhere) {
  const std::string expected = text_of({"--prompt=line 1\n", "--max-new-tokens=20"});
  write("prompt.txt", "line 1\n");
  EXPECT_EQ(text_of({"--prompt-file=prompt.txt", "--max-new-tokens=20"}), expected);
  EXPECT_EQ(generate_from("line 1\n", "--max-new-tokens=20").out, expected);
  EXPECT_EQ(generate_from("line 1\n", "--max-new-tokens=20 --prompt-file=- --tp=2").out, expected);
}

TEST_F(GenerateTest, LinesAreContinuedUntilTheInputEnds) {
  const auto continuation = [&](const std::string& prompt) {
    return text_of({"--prompt=" + prompt, "--max-new-tokens=10", "--greedy"}).substr(prompt.size());
  };
  const Result result =
      generate_from("line 1\n\ntext", "--interactive --max-new-tokens=10 --greedy --tp=2");
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_EQ(result.out, continuation("line 1") + continuation("text"));
  EXPECT_EQ(generate_from("", "--interactive").out, "");
}

TEST_F(GenerateTest, SamplesHaveSeedsOfTheirOwn) {
  const std::vector<std::string> options{"--prompt=line", "--max-new-tokens=20"};
  const std::string first = text_of({options[0], options[1], "--seed=7"}),
                    second = text_of({options[0], options[1], "--seed=8"});
  EXPECT_EQ(text_of({options[0], options[1], "--seed=7", "--num-samples=2"}),
            "--- sample 1 of 2, --seed=7\n" + first + "\n--- sample 2 of 2, --seed=8\n" + second);
}

TEST_F(GenerateTest, ACheckpointIsAModelToo) {
  const std::vector<std::string> options{"--prompt=line", "--max-new-tokens=20"};
  const std::string checkpoint = "run/checkpoints/step-000030";
  EXPECT_EQ(generate(options, "generate", checkpoint).out, generate(options).out);
}

TEST_F(GenerateTest, Errors) {
  const auto expect = [&](const std::vector<std::string>& arguments, const std::string& message) {
    expect_error(generate(arguments), "generate", message);
  };
  expect({"--prompt="}, "--prompt");
  expect({"--prompt=a", "--top-p=0"}, "top_p is 0; expected 0 < p <= 1");
  expect({"--prompt=a", "--greedy", "--temperature=1"}, " excludes --");
  expect({"--prompt=a", "--tp=3"}, "n_heads 2 is not divisible by tp=3");
  expect({"--prompt-file=nothing.txt"}, "cannot read the prompt in nothing.txt");
  expect_error(generate({"--prompt=a"}, "generate", "nowhere"), "generate",
               "there is no checkpoint at nowhere");
  expect_error(generate_from("", ""), "generate", "the prompt on stdin is empty");
  const Result help = run("generate", {"--help"}, folder_);
  EXPECT_EQ(help.status, 0);
  EXPECT_THAT(help.out, HasSubstr("--repetition-penalty"));
}

}  // namespace
}  // namespace shardgrad::tool_testing
