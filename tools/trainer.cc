#include "tools/trainer.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "data/batch_sampler.h"
#include "parallel/launch.h"
#include "tensor/allocator.h"
#include "tensor/matmul_precision.h"
#include "tools/divergence.h"
#include "tools/gemm_rate.h"
#include "tools/run_checkpoints.h"
#include "tools/run_header.h"
#include "tools/sample.h"
#include "tools/size_text.h"
#include "tools/stop_signal.h"

namespace shardgrad {
namespace {

constexpr std::int64_t kPromptTokens = 32, kShortSampleTokens = 80;
constexpr double kSampleTemperature = 0.8;

TrainingSettings settings_of(const TrainOptions& options) {
  return {options.adamw, options.seed, options.label_smoothing};
}

MicroBatch micro_batch_of(const Batch& batch) { return {batch.input_ids, batch.targets}; }

// The speed of matrix products, if the steps to come are worth a measurement of it. Every rank
// calls it, before it holds anything.
std::optional<GemmRate> measured_gemm_rate(const TrainOptions& options, Communicator& world,
                                           Device device) {
  constexpr int kRepeats = 8;
  const auto steps = static_cast<double>(options.steps - options.checkpoints.resumed_step);
  const double flops = steps * step_flops(options.model, options.batch_size, options.seq_len);
  const std::int64_t size = quick_gemm_size(device, flops, world.world_size(), kRepeats);
  if (size == 0) return std::nullopt;
  return GemmRate{size,
                  gemm_flops_per_second(world, dtype_of(options.device), device, size, kRepeats)};
}

// One rank's part of a run.
class Trainer {
 public:
  // `log` on rank 0 only.
  Trainer(const TrainOptions& options, const TrainingData& data, Communicator& world, Device device,
          RunLog* log, const std::string& settings)
      : options_(options),
        data_(data),
        log_(log),
        device_(device),
        gemm_(measured_gemm_rate(options, world, device)),
        training_data_(data.split.training, options.seq_len, options.seed),
        held_out_data_(data.split.held_out, options.seq_len, options.seed),
        training_(options.model, options.layout, world, {dtype_of(options.device), device},
                  settings_of(options)),
        checkpoints_(options, training_, settings),
        state_(checkpoints_.start()) {}

  // What the ranks have found out.
  RunFacts facts() {
    RunFacts facts;
    facts.parameters = global_parameter_count(training_.model());
    facts.memory = training_memory(training_, options_.layout,
                                   {options_.batch_size, options_.seq_len, options_.grad_accum});
    facts.gemm = gemm_;
    return facts;
  }

  // `sharing`: so many ranks use one allocator.
  void run(int sharing) {
    bool stopped = false;
    start_measuring_memory();
    while (state_.step < options_.steps && !stopped) {
      StepMetrics metrics = train_step();
      const bool last = state_.step == options_.steps;
      if (state_.step % options_.eval_interval == 0 || last) {
        metrics.validation_loss = validation_loss();
      }
      if (log_ != nullptr) log_->write(metrics);
      fail_if_diverged(metrics);
      if (std::exchange(first_step_, false)) report_memory(sharing);
      const std::int64_t interval = options_.sample_interval;
      if (!last && interval > 0 && state_.step % interval == 0) sample(kShortSampleTokens);
      stopped = checkpoints_.after_step(state_);
      report_checkpoint(stopped);
    }
    if (!stopped) sample(options_.sample_tokens);
  }

 private:
  StepMetrics train_step() {
    const std::int64_t step = state_.step;
    const auto start = std::chrono::steady_clock::now();
    const double learning_rate = options_.schedule.at(step);
    const StepOutcome outcome = training_.step(
        {step, learning_rate, options_.batch_size, options_.grad_accum},
        [&](std::int64_t first, std::int64_t count) {
          return micro_batch_of(
              training_data_.training_batch(step * options_.batch_size + first, count));
        },
        spike_limits(state_.history, options_.spike_threshold));
    const StepNumbers numbers = training_.numbers(outcome);
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    count(numbers);
    StepMetrics metrics;
    metrics.step = state_.step;
    metrics.loss = numbers.loss;
    metrics.learning_rate = learning_rate;
    metrics.gradient_norm = numbers.gradient_norm;
    metrics.tokens_per_second = options_.batch_size * options_.seq_len / seconds.count();
    metrics.skipped_steps = state_.skipped_steps;
    metrics.spiked_steps = state_.spiked_steps;
    if (gemm_) {
      metrics.model_flops_utilization =
          step_flops(options_.model, options_.batch_size, options_.seq_len) / seconds.count() /
          gemm_->flops_per_second;
    }
    return metrics;
  }

  void count(const StepNumbers& numbers) {
    ++state_.step;
    state_.skipped_steps += numbers.skipped ? 1 : 0;
    state_.spiked_steps += numbers.spiked ? 1 : 0;
    state_.skipped_in_a_row = numbers.skipped ? state_.skipped_in_a_row + 1 : 0;
    if (options_.spike_threshold > 0.0 && !numbers.skipped) {
      state_.history.add(numbers.loss, numbers.gradient_norm);
    }
  }

  void fail_if_diverged(const StepMetrics& metrics) const {
    const double loss = metrics.validation_loss.value_or(metrics.loss);
    const bool diverged = state_.skipped_in_a_row >= options_.max_skipped ||
                          (metrics.validation_loss && !std::isfinite(loss));
    if (diverged) fail("train", "{}", divergence_message(options_, state_, loss));
  }

  void start_measuring_memory() {
    training_.mesh().world().barrier();
    allocator_for(device_).reset_peak();
    training_.mesh().world().barrier();
  }

  void report_memory(int sharing) {
    training_.mesh().world().barrier();
    if (log_ == nullptr) return;
    const auto peak = static_cast<double>(allocator_for(device_).stats().peak_bytes_in_use);
    log_->say(fmt::format("step {}  memory {} at the most, of each rank", state_.step,
                          size_text(peak / sharing)));
  }

  void report_checkpoint(bool stopped) const {
    if (log_ == nullptr) return;
    const std::string& saved = checkpoints_.saved();
    if (!saved.empty()) log_->say(fmt::format("step {}  saved {}", state_.step, saved));
    if (!stopped) return;
    log_->say(saved.empty()
                  ? fmt::format("stopped by a signal after step {}; nothing was saved", state_.step)
                  : fmt::format("stopped by a signal after step {}, saved in {}; go on with "
                                "--resume={}",
                                state_.step, saved, options_.out));
  }

  // A sample that continues the beginning of the held-out text.
  void sample(std::int64_t tokens) const {
    if (options_.sample_tokens == 0 || data_.tokenizer == nullptr) return;
    const TokenDataset& held_out = data_.split.held_out;
    std::vector<std::int32_t> prompt(
        static_cast<std::size_t>(std::min(kPromptTokens, held_out.size())));
    held_out.read(0, static_cast<std::int64_t>(prompt.size()), prompt.data());
    const std::string text = sample_text(training_.model(), *data_.tokenizer, prompt,
                                         std::min(tokens, options_.sample_tokens), options_.seq_len,
                                         kSampleTemperature, options_.seed);
    if (log_ != nullptr) log_->write_sample(state_.step, text);
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
  const TrainingData& data_;
  RunLog* log_;
  Device device_;
  std::optional<GemmRate> gemm_;
  BatchSampler training_data_;
  BatchSampler held_out_data_;
  GPTTraining training_;
  RunCheckpoints checkpoints_;
  TrainerState state_;
  bool first_step_ = true;
};

}  // namespace

void run_training(TrainOptions options, Processes& processes) {
  const int world_size = processes.world_size(wanted_world_size(options.layout));
  complete_layout(options.layout, world_size);
  options.layout.validate(options.model, options.batch_size, options.seq_len, options.grad_accum);
  const std::vector<Device> devices = devices_of_ranks(options.device, world_size, processes);
  const TrainingData loaded = load_training_data(options.data, options.seq_len);
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
    Trainer trainer(options, loaded, world, devices[world.rank()], own_log, settings);
    RunFacts facts = trainer.facts();
    facts.devices = devices;
    facts.threads = processes.threads_per_rank(world_size, options.threads);
    facts.data = loaded.description;
    if (own_log != nullptr) print_header(options, facts, *own_log);
    trainer.run(ranks_sharing_memory(devices, processes));
  });
  if (log) log->finish();
}

}  // namespace shardgrad
