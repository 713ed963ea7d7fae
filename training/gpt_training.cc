#include "training/gpt_training.h"

#include <cmath>
#include <utility>
#include <vector>

#include "parallel/sharded_parameters.h"
#include "tensor/kernels/elementwise.h"

namespace shardgrad {
namespace {

constexpr const char* kName = "GPTTraining";

std::unique_ptr<CommunicationQueue> queue_for(const TrainingLayout& layout, Communicator& group,
                                              Device device) {
  if (!layout.overlap || group.world_size() == 1) return nullptr;
  return std::make_unique<CommunicationQueue>(group, device);
}

// The gradient norm, or NaN, with which the optimizer skips the step, when that is beyond its
// limits. Decided where both numbers are, so that nobody waits for them.
Tensor accepted_norm(const StepOutcome& outcome) {
  const StepLimits none;
  const StepLimits& limits = outcome.limits;
  if (limits.loss == none.loss && limits.gradient_norm == none.gradient_norm) {
    return outcome.gradient_norm;
  }
  Tensor accepted = outcome.gradient_norm.clone();
  kernels::reject_above(outcome.gradient_norm, limits.gradient_norm, accepted);
  kernels::reject_above(outcome.loss, limits.loss, accepted);
  return accepted;
}

GPTParallelism parallelism_of(const TrainingLayout& layout, CommunicationQueue* overlap) {
  return {layout.sequence_parallel, layout.recompute, overlap};
}

}  // namespace

GPTTraining::GPTTraining(const GPTConfig& config, const TrainingLayout& layout, Communicator& world,
                         const ParameterOptions& options, const TrainingSettings& settings)
    : settings_(settings),
      mesh_(world, layout.tensor_parallel, layout.data_parallel),
      overlap_(queue_for(layout, mesh_.tensor_parallel(), options.device)),
      model_(config, mesh_.tensor_parallel(), options, parallelism_of(layout, overlap_.get())),
      parameters_(model_.named_parameters(), DataParallel::region_multiple(layout.data_parallel)),
      data_parallel_(parameters_, mesh_.data_parallel(),
                     {layout.zero_stage, layout.overlap, layout.bucket_bytes}),
      optimizer_(parameters_, settings.adamw, data_parallel_.owned()),
      on_phase_end_([](int) {}) {
  initialize_parameters(model_, settings.seed);
}

StepOutcome GPTTraining::step(const TrainingStep& step, const BatchSource& batch,
                              const StepLimits& limits) {
  Communicator& tensor_parallel = mesh_.tensor_parallel();
  // Here, and not after the backward pass, so that the first step takes the memory of every other.
  if (optimizer_.has_master()) optimizer_.master();
  StepOutcome outcome;
  outcome.limits = limits;
  outcome.loss = forward_and_backward(step, batch);
  data_parallel_.finish_gradients();
  sum_partial_gradients(parameters_, tensor_parallel, data_parallel_.owned());
  outcome.gradient_norm = data_parallel_.is_sharded()
                              ? gradient_norm(parameters_, tensor_parallel, data_parallel_.owned(),
                                              mesh_.data_parallel())
                              : gradient_norm(parameters_, tensor_parallel);
  optimizer_.step(step.learning_rate, accepted_norm(outcome));
  data_parallel_.gather_parameters();
  on_phase_end_(2);
  return outcome;
}

Tensor GPTTraining::forward_and_backward(const TrainingStep& step, const BatchSource& batch) {
  const std::int64_t copies = mesh_.data_parallel().world_size();
  const std::int64_t parts = copies * step.micro_batches;
  require(
      step.micro_batches >= 1 && step.sequences >= 1 && step.sequences % parts == 0, kName,
      "a batch of {} sequences does not divide into dp={} x {} micro-batches; choose a multiple "
      "of {}",
      step.sequences, copies, step.micro_batches, parts);
  const std::int64_t count = step.sequences / parts;
  ForwardContext context;
  context.training = true;
  context.seed = settings_.seed;
  context.step = step.step;

  // All of them at once: the loss is a mean over the targets of all micro-batches of all ranks.
  std::vector<MicroBatch> micro_batches;
  std::vector<std::int64_t> first_sequences;
  std::int64_t targets = 0;
  for (std::int64_t i = 0; i < step.micro_batches; ++i) {
    first_sequences.push_back((i * copies + mesh_.data_parallel().rank()) * count);
    micro_batches.push_back(batch(first_sequences.back(), count));
    targets += counted_targets(micro_batches.back().targets);
  }
  CrossEntropyOptions loss_options;
  loss_options.label_smoothing = settings_.label_smoothing;
  // With no target at all the loss is 0, whatever it is divided by.
  loss_options.normalizer = static_cast<double>(
      std::max<std::int64_t>(sum_over_ranks(targets, mesh_.data_parallel()), 1));

  parameters_.clear_gradients();
  Tensor total;
  for (std::int64_t i = 0; i < step.micro_batches; ++i) {
    const bool last = i + 1 == step.micro_batches;
    context.first_sequence = first_sequences[i];
    const Variable loss =
        model_.loss(micro_batches[i].input_ids, micro_batches[i].targets, context, loss_options);
    if (last) {
      on_phase_end_(0);
      data_parallel_.begin_last_backward();
    }
    backward(loss);
    if (last) on_phase_end_(1);
    if (total.defined()) {
      kernels::add(total, loss.value(), total);
    } else {
      total = loss.value();
    }
  }
  mesh_.data_parallel().all_reduce(total);
  return total;
}

StepNumbers GPTTraining::numbers(const StepOutcome& outcome) {
  StepNumbers numbers;
  numbers.loss = outcome.loss.item();
  numbers.gradient_norm = outcome.gradient_norm.item();
  // As the optimizer has decided.
  const bool finite = std::isfinite(numbers.gradient_norm);
  numbers.spiked = finite && !(numbers.gradient_norm <= outcome.limits.gradient_norm &&
                               numbers.loss <= outcome.limits.loss);
  numbers.skipped = !finite || numbers.spiked;
  if (numbers.skipped) optimizer_.take_back_step();
  return numbers;
}

double GPTTraining::evaluate(std::int64_t sequences, const BatchSource& batch) const {
  const NoGradGuard no_grad;
  Communicator& data_parallel = mesh_.data_parallel();
  const std::int64_t copies = data_parallel.world_size();
  require(sequences >= 1 && sequences % copies == 0, kName,
          "{} sequences to evaluate on do not divide among dp={} copies of the model; choose a "
          "multiple of {}",
          sequences, copies, copies);
  const std::int64_t count = sequences / copies;
  const MicroBatch own = batch(data_parallel.rank() * count, count);
  CrossEntropyOptions options;
  options.normalizer = static_cast<double>(
      std::max<std::int64_t>(sum_over_ranks(counted_targets(own.targets), data_parallel), 1));
  Tensor loss = model_.loss(own.input_ids, own.targets, {}, options).value();
  data_parallel.all_reduce(loss);
  return loss.item();
}

CommunicationStats GPTTraining::tensor_parallel_stats() const {
  const CommunicationStats own = mesh_.tensor_parallel().stats();
  return overlap_ != nullptr ? own + overlap_->stats() : own;
}

CommunicationStats GPTTraining::data_parallel_stats() const {
  return mesh_.data_parallel().stats() + data_parallel_.stats();
}

}  // namespace shardgrad
