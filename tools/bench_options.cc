#include "tools/bench_options.h"

#include <optional>

#include "tools/layout_options.h"
#include "tools/program.h"

namespace shardgrad {
namespace {

// What of the preset the user changes.
struct ModelChanges {
  std::optional<std::int64_t> n_layers, n_heads, d_model, vocab_size;
  std::optional<double> dropout;
};

void add_model_options(CLI::App& app, std::string& preset, ModelChanges& changes) {
  app.add_option("--preset", preset,
                 "Shape to start from: " + CLI::detail::join(gpt_preset_names(), ", "))
      ->check(CLI::IsMember(gpt_preset_names()))
      ->capture_default_str()
      ->group("Model");
  const auto integer = [&](const char* name, std::optional<std::int64_t>& value, const char* text) {
    app.add_option(name, value, text)->check(at_least(1))->group("Model");
  };
  integer("--n-layers", changes.n_layers, "Transformer blocks (default: the preset's)");
  integer("--n-heads", changes.n_heads, "Attention heads");
  integer("--d-model", changes.d_model, "Width of the residual stream; d_ff is four times as wide");
  integer("--vocab-size", changes.vocab_size, "Token ids");
  app.add_option("--dropout", changes.dropout, "Probability of zeroing an activation, in [0, 1)")
      ->check(fraction())
      ->group("Model");
}

// The preset, changed; sequences may be as long as `tokens`.
GPTConfig changed_model(const std::string& preset, const ModelChanges& changes,
                        std::int64_t tokens) {
  GPTConfig model = gpt_preset(preset);
  model.n_layers = changes.n_layers.value_or(model.n_layers);
  model.n_heads = changes.n_heads.value_or(model.n_heads);
  if (changes.d_model) {
    model.d_model = *changes.d_model;
    model.d_ff = 4 * *changes.d_model;
  }
  model.vocab_size = changes.vocab_size.value_or(model.vocab_size);
  model.dropout = changes.dropout.value_or(model.dropout);
  model.max_position_embeddings = std::max(model.max_position_embeddings, tokens);
  return model;
}

std::string name_of_model(const std::string& preset, const ModelChanges& changes) {
  const bool changed = changes.n_layers || changes.n_heads || changes.d_model || changes.vocab_size;
  return changed ? preset + ", changed" : preset;
}

// Three shapes that others have been measured at, and the model that `train` starts with, each on
// one rank and on two, in both dtypes, without dropout.
std::vector<BenchCase> suite_cases(const BenchCase& given) {
  ModelChanges small;
  small.n_layers = 6;
  small.n_heads = 6;
  small.d_model = 384;
  small.vocab_size = 96;
  struct Shape {
    const char* name;
    GPTConfig model;
    std::int64_t batch_size, seq_len;
  };
  const Shape shapes[] = {{"gpt2", gpt_preset("gpt2"), 4, 64},
                          {"gpt2", gpt_preset("gpt2"), 4, 256},
                          {"small", changed_model("gpt2", small, 256), 12, 256},
                          {"nano", gpt_preset("nano"), 16, 128}};
  std::vector<BenchCase> cases;
  for (const Shape& shape : shapes) {
    for (const char* dtype : {"fp32", "bf16"}) {
      for (const int tensor_parallel : {1, 2}) {
        BenchCase task = given;
        task.name = shape.name;
        task.model = shape.model;
        task.model.dropout = 0.0;
        task.batch_size = shape.batch_size;
        task.seq_len = shape.seq_len;
        task.layout.tensor_parallel = tensor_parallel;
        task.device.dtype = dtype;
        cases.push_back(task);
      }
    }
  }
  return cases;
}

}  // namespace

bool parse_bench_options(int argc, const char* const* argv, BenchOptions& options) {
  CLI::App app(
      "Times full training steps (forward, backward, gradient norm, AdamW) on random tokens, and\n"
      "what each operation takes of them, against what this machine can do in the same run.\n"
      "Example: --preset=gpt2 --batch-size=4 --seq-len=64 --tp=2",
      "bench");
  BenchCase task;
  std::string preset = "gpt2";
  ModelChanges changes;
  bool suite = false;
  const auto integer = [&](const char* name, auto& value, std::int64_t least, const char* text,
                           std::int64_t most = 2147483647) {
    app.add_option(name, value, text)->check(at_least(least, most))->capture_default_str();
  };
  integer("--batch-size", task.batch_size, 1, "Sequences per step");
  integer("--seq-len", task.seq_len, 1, "Tokens of a sequence");
  integer("--threads", task.threads, 0, "Threads per rank; 0: an equal share of the cores",
          kMostThreads);
  integer("--warmup", options.rounds.warmup, 0, "Steps before the measured ones");
  integer("--steps", options.rounds.steps, 1,
          "Measured steps; each is followed by one that is looked into");
  app.add_flag(
      "--paced", options.rounds.paced,
      "Each step waits for a line on the standard input, so that a program can let several "
      "measurements take turns");
  app.add_flag(
      "--suite", suite,
      "Instead of one model: gpt2 at 4 x 64 and 4 x 256 tokens, a model of 6 layers of 384 "
      "at 12 x 256, and nano; at tp 1 and 2, in fp32 and bf16, without dropout");
  app.add_option("--json", options.json, "Also write all numbers to this file");
  add_model_options(app, preset, changes);
  add_layout_options(app, task.layout, "Layout");
  add_device_options(app, task.device, "Device");
  if (!parse_command_line(app, argc, argv)) return false;
  options.json = options.json.empty() ? "" : user_path(options.json);
  if (suite) {
    for (const char* name : {"--preset", "--n-layers", "--n-heads", "--d-model", "--vocab-size",
                             "--dropout", "--batch-size", "--seq-len", "--tp", "--dtype"}) {
      require(app.get_option(name)->count() == 0, "bench",
              "--suite chooses {} itself; leave it out, or leave out --suite", name);
    }
    options.cases = suite_cases(task);
    return true;
  }
  task.name = name_of_model(preset, changes);
  task.model = changed_model(preset, changes, task.seq_len);
  options.cases = {task};
  return true;
}

}  // namespace shardgrad
