#include "tools/train_options.h"

#include <algorithm>
#include <ctime>
#include <limits>
#include <map>
#include <optional>

#include "checkpoint/gpt2_format.h"
#include "tools/config_file.h"
#include "tools/program.h"

namespace shardgrad {
namespace {

constexpr const char* kModelGroup = "Model (the preset's, where not given)";

// What of the preset the user changes.
struct ModelChanges {
  std::optional<std::int64_t> n_layers, n_heads, d_model, d_ff, max_position_embeddings;
  std::optional<double> dropout;
  std::optional<bool> tie_embeddings;
};

// Options whose default depends on others.
struct Dependent {
  std::optional<std::int64_t> seq_len, warmup_steps, sample_interval;
  std::optional<double> lr, min_lr;
  std::optional<std::int64_t> decay_steps;
};

void add_model_options(CLI::App& app, TrainOptions& options, ModelChanges& changes) {
  const auto integer = [&](const char* name, std::optional<std::int64_t>& value, const char* text) {
    app.add_option(name, value, text)->check(at_least(1))->group(kModelGroup);
  };
  const std::string names = CLI::detail::join(gpt_preset_names(), ", ");
  app.add_option("--preset", options.preset,
                 "Shape to start from, which the options below change: " + names +
                     ". The vocabulary is the data's")
      ->check(CLI::IsMember(gpt_preset_names()))
      ->capture_default_str()
      ->group(kModelGroup);
  integer("--n-layers", changes.n_layers, "Transformer blocks");
  integer("--n-heads", changes.n_heads, "Attention heads; divides d_model, divisible by tp");
  integer("--d-model", changes.d_model, "Width of the residual stream");
  integer("--d-ff", changes.d_ff,
          "Width inside the feed-forward layer; 4 d_model if only d_model is given");
  integer("--max-position-embeddings", changes.max_position_embeddings, "Longest sequence");
  app.add_option("--dropout", changes.dropout, "Probability of zeroing an activation, in [0, 1)")
      ->check(fraction())
      ->group(kModelGroup);
  app.add_flag_function(
         "--tie-embeddings,!--untie-embeddings",
         [&changes](std::int64_t times) { changes.tie_embeddings = times > 0; },
         "Whether the output head is the token embedding (default: tied)")
      ->group(kModelGroup);
}

const std::map<std::string, ScheduleKind>& schedule_kinds() {
  static const std::map<std::string, ScheduleKind> kinds{{"cosine", ScheduleKind::Cosine},
                                                         {"linear", ScheduleKind::Linear},
                                                         {"constant", ScheduleKind::Constant},
                                                         {"wsd", ScheduleKind::WarmupStableDecay}};
  return kinds;
}

void add_optimizer_options(CLI::App& app, TrainOptions& options, Dependent& dependent) {
  const auto real = [&](const char* name, double& value, const CLI::Validator& check,
                        const char* text) {
    app.add_option(name, value, text)->check(check)->capture_default_str()->group("Optimizer");
  };
  app.add_option("--lr", dependent.lr,
                 "Peak learning rate (default: 5e-3 for nano, 6e-4 for the larger presets)")
      ->check(not_negative())
      ->group("Optimizer");
  app.add_option("--min-lr", dependent.min_lr,
                 "Learning rate at the last step, at most --lr (default: lr / 25)")
      ->check(not_negative())
      ->group("Optimizer");
  app.add_option("--warmup-steps", dependent.warmup_steps,
                 "Steps of linear warm-up (default: 100, or a tenth of the steps if fewer)")
      ->check(at_least(0))
      ->group("Optimizer");
  app.add_option(
         "--schedule", options.schedule.kind,
         "After the warm-up: cosine, linear (to --min-lr at the last step), constant, or wsd "
         "(constant, then linear over the last --decay-steps) (default: cosine)")
      ->transform(CLI::CheckedTransformer(schedule_kinds()))
      ->group("Optimizer");
  app.add_option("--decay-steps", dependent.decay_steps,
                 "Steps over which wsd falls (default: a tenth of the steps)")
      ->check(at_least(0))
      ->group("Optimizer");
  real("--weight-decay", options.adamw.weight_decay, not_negative(),
       "AdamW decay, of matrices only");
  real("--beta1", options.adamw.beta1, fraction(), "AdamW decay of the first moment, in [0, 1)");
  real("--beta2", options.adamw.beta2, fraction(), "AdamW decay of the second moment, in [0, 1)");
  real("--grad-clip", options.adamw.max_gradient_norm, not_negative(),
       "Largest global gradient norm; 0: no clipping");
  real("--label-smoothing", options.label_smoothing, fraction(),
       "Share of the target's probability that is spread over the vocabulary, in [0, 1)");
  real("--spike-threshold", options.spike_threshold, not_negative(),
       "Skip a step whose loss or gradient norm is so many standard deviations above the mean of "
       "the last 128 steps; 6 is usual. 0: only steps whose gradients are not finite");
  app.add_option("--max-skipped", options.max_skipped, "Steps skipped in a row that end the run")
      ->check(at_least(1))
      ->capture_default_str()
      ->group("Optimizer");
}

void add_run_options(CLI::App& app, TrainOptions& options, Dependent& dependent) {
  const auto integer = [&](const char* group, const char* name, std::int64_t& value,
                           std::int64_t minimum, const char* text) {
    app.add_option(name, value, text)
        ->check(at_least(minimum))
        ->capture_default_str()
        ->group(group);
  };
  add_layout_options(app, options.layout, "Layout");
  app.add_option("--threads", options.threads, "Threads per rank; 0: an equal share of the cores")
      ->check(at_least(0, kMostThreads))
      ->capture_default_str()
      ->group("Layout");
  add_device_options(app, options.device, "Layout");
  add_data_options(app, options.data, "Data");
  integer("Data", "--batch-size", options.batch_size, 1, "Sequences per step");
  app.add_option("--seq-len", dependent.seq_len,
                 "Tokens of a sequence (default: 128, or the longest that the model takes)")
      ->check(at_least(1))
      ->group("Data");
  integer("Data", "--grad-accum", options.grad_accum, 1,
          "Micro-batches that each step's batch is split into, to save memory; the result is the "
          "same");
  integer("Run", "--steps", options.steps, 1, "Optimizer steps");
  app.add_option("--seed", options.seed, "Of weights, dropout and data order")
      ->check(at_least(0, std::numeric_limits<std::int64_t>::max()))
      ->capture_default_str()
      ->group("Run");
  integer("Run", "--eval-interval", options.eval_interval, 1, "Steps between validations");
  integer("Run", "--eval-steps", options.eval_steps, 1, "Batches of a validation");
  integer("Run", "--sample-tokens", options.sample_tokens, 0,
          "Length of the sample at the end; 0: no samples at all");
  app.add_option("--sample-interval", dependent.sample_interval,
                 "Steps between short samples, of 80 tokens; 0: only the one at the end (default: "
                 "as --eval-interval)")
      ->check(at_least(0))
      ->group("Run");
  app.add_flag("--tensorboard,!--no-tensorboard", options.tensorboard,
               "Whether to write OUT/tensorboard, which TensorBoard follows (default: yes)")
      ->group("Run");
  app.add_flag(
         "--report,!--no-report", options.report,
         "Whether to write OUT/report.html, curves and settings as a page, at each validation "
         "and at the end (default: yes)")
      ->group("Run");
  app.add_option("--out", options.out,
                 "Folder for metrics.jsonl, config.json and checkpoints (default: runs/DATE-TIME)")
      ->group("Run");
  add_checkpoint_options(app, options.checkpoints);
}

void apply_changes(const ModelChanges& changes, GPTConfig& config) {
  config.n_layers = changes.n_layers.value_or(config.n_layers);
  config.n_heads = changes.n_heads.value_or(config.n_heads);
  config.d_ff = changes.d_ff.value_or(changes.d_model ? 4 * *changes.d_model : config.d_ff);
  config.d_model = changes.d_model.value_or(config.d_model);
  config.max_position_embeddings =
      changes.max_position_embeddings.value_or(config.max_position_embeddings);
  config.dropout = changes.dropout.value_or(config.dropout);
  config.tie_embeddings = changes.tie_embeddings.value_or(config.tie_embeddings);
}

void apply_dependent(const Dependent& given, TrainOptions& options) {
  options.seq_len =
      given.seq_len.value_or(std::min(options.seq_len, options.model.max_position_embeddings));
  options.schedule.peak = given.lr.value_or(options.preset == "nano" ? 5e-3 : 6e-4);
  options.schedule.minimum = given.min_lr.value_or(options.schedule.peak / 25.0);
  options.schedule.warmup_steps =
      given.warmup_steps.value_or(std::min<std::int64_t>(100, options.steps / 10));
  options.schedule.total_steps = options.steps;
  options.sample_interval = given.sample_interval.value_or(options.eval_interval);
  options.schedule.decay_steps = given.decay_steps.value_or(options.steps / 10);
}

void validate(const TrainOptions& options) {
  options.model.validate(options.layout.tensor_parallel);
  require(options.seq_len <= options.model.max_position_embeddings, "train",
          "--seq-len {} is above --max-position-embeddings {}; lower the first or raise the second",
          options.seq_len, options.model.max_position_embeddings);
  require(options.schedule.minimum <= options.schedule.peak, "train",
          "--min-lr {} is above --lr {}; lower the first or raise the second",
          options.schedule.minimum, options.schedule.peak);
}

// The shape to start from. That of a model on disk comes with its vocabulary.
GPTConfig starting_model(TrainOptions& options) {
  const CheckpointOptions& checkpoints = options.checkpoints;
  if (!checkpoints.init.empty()) options.preset = checkpoints.init;
  const std::string& start = checkpoints.resume.empty() ? checkpoints.init : checkpoints.resume;
  const std::int64_t tokens = vocab_size_of(options.data);
  if (start.empty()) {
    GPTConfig config = gpt_preset(options.preset);
    config.vocab_size = tokens;
    return config;
  }
  const GPTConfig config = read_gpt_config(start);
  require(config.vocab_size >= tokens, "train",
          "the model in {} has a vocabulary of {}, but the data's tokens are {}; choose the "
          "--tokenizer that the model was trained with",
          start, config.vocab_size, tokens);
  return config;
}

// What the options that were not given came to.
std::map<std::string, std::string> resolved(const TrainOptions& options) {
  const GPTConfig& model = options.model;
  return {{"n-layers", std::to_string(model.n_layers)},
          {"n-heads", std::to_string(model.n_heads)},
          {"d-model", std::to_string(model.d_model)},
          {"d-ff", std::to_string(model.d_ff)},
          {"max-position-embeddings", std::to_string(model.max_position_embeddings)},
          {"dropout", fmt::format("{}", model.dropout)},
          {"tie-embeddings", model.tie_embeddings ? "true" : "false"},
          {"recompute", options.layout.recompute == Recompute::Block ? "block" : "none"},
          {"schedule", schedule_name(options.schedule.kind)},
          {"seq-len", std::to_string(options.seq_len)},
          {"lr", fmt::format("{}", options.schedule.peak)},
          {"min-lr", fmt::format("{}", options.schedule.minimum)},
          {"warmup-steps", std::to_string(options.schedule.warmup_steps)},
          {"decay-steps", std::to_string(options.schedule.decay_steps)},
          {"sample-interval", std::to_string(options.sample_interval)}};
}

std::string dated_folder() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  localtime_r(&now, &parts);
  char text[32];
  std::strftime(text, sizeof(text), "runs/%Y%m%d-%H%M%S", &parts);
  return text;
}

}  // namespace

bool parse_train_options(int argc, const char* const* argv, TrainOptions& options) {
  CLI::App app(
      "Trains a GPT on text or on token files. Without any option: a small model on the C++ "
      "source\nof Eigen, in about two minutes on two cores.\n"
      "Example: --tp=2 --data=my_notes/ --steps=2000 --out=runs/notes\n"
      "Stopped, by Ctrl-C for example, it goes on with: --resume=runs/notes",
      "train");
  ModelChanges changes;
  Dependent dependent;
  add_run_options(app, options, dependent);
  add_model_options(app, options, changes);
  add_optimizer_options(app, options, dependent);
  add_config_option(app);
  const std::vector<std::string> configured = with_config_file(app, argc, argv);
  std::vector<const char*> line;
  for (const std::string& word : configured) line.push_back(word.c_str());
  const std::vector<std::string> words =
      with_resumed_options(static_cast<int>(line.size()), line.data());
  line.clear();
  for (const std::string& word : words) line.push_back(word.c_str());
  if (!parse_command_line(app, static_cast<int>(line.size()), line.data())) return false;
  if (options.out.empty()) options.out = dated_folder();
  options.out = user_path(options.out);
  complete_checkpoint_options(app, options.out, options.checkpoints);
  resolve_paths(options.data);
  options.model = starting_model(options);
  apply_changes(changes, options.model);
  apply_dependent(dependent, options);
  validate(options);
  options.config = config_text(app, resolved(options), {"out", "resume"});
  return true;
}

std::string schedule_name(ScheduleKind wanted) {
  for (const auto& [name, kind] : schedule_kinds()) {
    if (kind == wanted) return name;
  }
  return "unknown";
}

}  // namespace shardgrad
