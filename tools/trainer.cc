#include "tools/trainer.h"

#include <cmath>
#include <optional>

#include "data/batch_sampler.h"
#include "parallel/launch.h"
#include "tensor/matmul_precision.h"
#include "tools/program.h"
#include "tools/run_checkpoints.h"
#include "tools/run_log.h"
#include "tools/sample.h"
#include "tools/stop_signal.h"
#include "training/gpt_training.h"

namespace shardgrad {
namespace {

constexpr std::int64_t kPromptTokens = 32;

// So many steps in a row whose gradients are not finite end the run.
constexpr std::int64_t kMostSkippedInARow = 10;

TrainingSettings settings_of(const TrainOptions& options) {
  return {options.adamw, options.seed, options.label_smoothing};
}

MicroBatch micro_batch_of(const Batch& batch) { return {batch.input_ids, batch.targets}; }

// One rank's part of a run.
class Trainer {
 public:
  // `log` on rank 0 only.
  Trainer(const TrainOptions& options, const DatasetSplit& data, Communicator& world, Device device,
          RunLog* log, const std::string& settings)
      : options_(options),
        log_(log),
        training_data_(data.training, options.seq_len, options.seed),
        held_out_data_(data.held_out, options.seq_len, options.seed),
        training_(options.model, options.layout, world, {dtype_of(options.device), device},
                  settings_of(options)),
        checkpoints_(options, training_, settings),
        state_(checkpoints_.start()) {}

  // Returns whether a signal stopped it.
  bool run() {
    bool stopped = false;
    while (state_.step < options_.steps && !stopped) {
      const std::int64_t step = state_.step;
      const auto start = std::chrono::steady_clock::now();
      StepMetrics metrics = train_step(step);
      const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
      metrics.tokens_per_second = options_.batch_size * options_.seq_len / seconds.count();
      if ((step + 1) % options_.eval_interval == 0 || step + 1 == options_.steps) {
        metrics.validation_loss = validation_loss();
        if (!std::isfinite(*metrics.validation_loss)) fail_diverged(metrics);
      }
      if (log_ != nullptr) log_->write(metrics);
      state_.step = step + 1;
      stopped = checkpoints_.after_step(state_);
      const std::string& saved = checkpoints_.saved();
      if (log_ == nullptr) continue;
      if (!saved.empty()) log_->say(fmt::format("step {}  saved {}", step + 1, saved));
      if (stopped) log_->say(stop_message());
    }
    return stopped;
  }

  // A sample that continues the beginning of the held-out text.
  std::string sample(const TokenDataset& held_out, const Tokenizer& tokenizer) const {
    std::vector<std::int32_t> prompt(
        static_cast<std::size_t>(std::min(kPromptTokens, held_out.size())));
    held_out.read(0, static_cast<std::int64_t>(prompt.size()), prompt.data());
    return sample_text(training_.model(), tokenizer, prompt, options_.sample_tokens,
                       options_.seq_len, 0.8, options_.seed);
  }

  std::int64_t parameter_count() const { return global_parameter_count(training_.model()); }

 private:
  std::string stop_message() const {
    if (checkpoints_.saved().empty()) {
      return fmt::format("stopped by a signal after step {}; nothing was saved", state_.step);
    }
    return fmt::format("stopped by a signal after step {}, saved in {}; go on with --resume={}",
                       state_.step, checkpoints_.saved(), options_.out);
  }

  StepMetrics train_step(std::int64_t step) {
    StepMetrics metrics;
    metrics.step = step + 1;
    metrics.learning_rate = options_.schedule.at(step);
    const StepOutcome outcome =
        training_.step({step, metrics.learning_rate, options_.batch_size, options_.grad_accum},
                       [&](std::int64_t first, std::int64_t count) {
                         return micro_batch_of(training_data_.training_batch(
                             step * options_.batch_size + first, count));
                       });
    const StepNumbers numbers = training_.numbers(outcome);
    metrics.loss = numbers.loss;
    metrics.gradient_norm = numbers.gradient_norm;
    state_.skipped_steps += numbers.skipped ? 1 : 0;
    state_.skipped_in_a_row = numbers.skipped ? state_.skipped_in_a_row + 1 : 0;
    metrics.skipped_steps = state_.skipped_steps;
    if (state_.skipped_in_a_row >= kMostSkippedInARow) fail_diverged(metrics);
    return metrics;
  }

  [[noreturn]] void fail_diverged(const StepMetrics& metrics) const {
    fail(
        "train",
        "at step {} the loss is {}, and {} of the steps so far had gradients that were not finite: "
        "the run has diverged; lower --lr ({}) or {} --grad-clip ({})",
        metrics.step, std::abs(metrics.validation_loss.value_or(metrics.loss)),
        metrics.skipped_steps, options_.schedule.peak,
        options_.adamw.max_gradient_norm > 0.0 ? "lower" : "set", options_.adamw.max_gradient_norm);
  }

  double validation_loss() const {
    const std::int64_t all = options_.eval_steps * options_.batch_size;
    double total = 0.0;
    for (std::int64_t i = 0; i < options_.eval_steps; ++i) {
      total += training_.evaluate(options_.batch_size, [&](std::int64_t first, std::int64_t count) {
        return micro_batch_of(
            held_out_data_.evaluation_batch(i * options_.batch_size + first, count, all));
      });
    }
    return total / static_cast<double>(options_.eval_steps);
  }

  const TrainOptions& options_;
  RunLog* log_;
  BatchSampler training_data_;
  BatchSampler held_out_data_;
  GPTTraining training_;
  RunCheckpoints checkpoints_;
  TrainerState state_;
};

void print_header(const TrainOptions& options, const std::vector<Device>& devices,
                  const std::string& data, std::int64_t parameters, int threads, RunLog& log) {
  const GPTConfig& model = options.model;
  const int cores = available_cores();
  const std::string reason =
      devices.front().type == DeviceType::Cpu && options.device.device == "auto"
          ? fmt::format(" ({})", why_no_cuda())
          : "";
  log.say(fmt::format(
      "model    {}: n_layers {}, n_heads {}, d_model {}, d_ff {}, dropout {}; {} parameters",
      options.preset, model.n_layers, model.n_heads, model.d_model, model.d_ff, model.dropout,
      grouped(parameters)));
  log.say(fmt::format("layout   {}, {} thread{} per rank, {} cores; {}{}, {}{}",
                      options.layout.to_string(), threads, threads == 1 ? "" : "s", cores,
                      describe(devices), reason, name_of(dtype_of(options.device)),
                      options.device.tf32 ? " with TF32 products" : ""));
  log.say("data     " + data);
  log.say(fmt::format("steps    {} of {} x {} = {} tokens, in {} micro-batch{}", options.steps,
                      options.batch_size, options.seq_len,
                      grouped(options.batch_size * options.seq_len), options.grad_accum,
                      options.grad_accum == 1 ? "" : "es"));
  const CheckpointOptions& checkpoints = options.checkpoints;
  if (!checkpoints.resume.empty()) {
    log.say(
        fmt::format("resume   {}, after step {}", checkpoints.resume, checkpoints.resumed_step));
  } else if (!checkpoints.init.empty()) {
    log.say("weights  " + checkpoints.init);
  }
  log.say("writing  " + options.out + "/{config.json,metrics.jsonl}\n");
}

}  // namespace

void run_training(TrainOptions options, Processes& processes) {
  const int world_size = processes.world_size(wanted_world_size(options.layout));
  complete_layout(options.layout, world_size);
  options.layout.validate(options.model, options.batch_size, options.seq_len, options.grad_accum);
  const std::vector<Device> devices = devices_of_ranks(options.device, world_size, processes);
  const TrainingData loaded = load_training_data(options.data, options.seq_len);
  const DatasetSplit& data = loaded.split;
  check_start(options);
  const StopSignals signals;
  const std::string settings = settings_text(options, describe(devices));
  std::optional<RunLog> log;  // of the rank that leads
  if (processes.leads()) {
    log.emplace(options, describe(devices), !processes.place().launched_by_mpi);
  }
  processes.run_ranks({devices, options.threads}, [&](Communicator& world) {
    RunLog* const own_log = world.rank() == 0 ? &*log : nullptr;
    set_allow_tf32(options.device.tf32);
    Trainer trainer(options, data, world, devices[world.rank()], own_log, settings);
    if (own_log != nullptr) {
      print_header(options, devices, loaded.description, trainer.parameter_count(),
                   processes.threads_per_rank(world_size, options.threads), *own_log);
    }
    const bool stopped = trainer.run();
    if (stopped || options.sample_tokens == 0 || loaded.tokenizer == nullptr) return;
    const std::string sample = trainer.sample(data.held_out, *loaded.tokenizer);
    if (own_log != nullptr) own_log->write_sample(options.steps, sample);
  });
  if (log) log->finish();
}

}  // namespace shardgrad
