#include "tools/parity_run.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "tensor/allocator.h"
#include "tensor/kernels/random.h"

namespace shardgrad {
namespace {

Tensor random_ids(const ParityTask& task, std::int64_t step, const char* name) {
  Tensor uniform = Tensor::empty({task.batch.sequences, task.batch.tokens}, DType::Float64);
  kernels::fill_uniform(uniform, {task.seed, mix_stream(hash_name(name), step)}, 0, 0.0,
                        static_cast<double>(task.model.vocab_size));
  return uniform.to(DType::Int32);
}

// Sequence i ends after a number of tokens that differs from that of its neighbours.
MicroBatch batch_of(const ParityTask& task, std::int64_t step, std::int64_t first,
                    std::int64_t count) {
  const Tensor ids = random_ids(task, step, "input_ids");
  Tensor targets = random_ids(task, step, "targets");
  const std::int64_t tokens = task.batch.tokens;
  for (std::int64_t i = 0; i < task.batch.sequences; ++i) {
    const std::int64_t length = tokens - (i * 5 + step) % std::max<std::int64_t>(tokens / 2, 1);
    std::fill_n(targets.data<std::int32_t>() + i * tokens + length, tokens - length, -100);
  }
  return {ids.slice(0, first, count), targets.slice(0, first, count)};
}

// The larger one, or NaN if either is.
double worst(double a, double b) { return std::isnan(a) || a > b ? a : b; }

double relative(double found, double expected) {
  return std::abs(found - expected) / std::abs(expected);
}

// Both on the host, in any dtype.
double relative(const Tensor& found, const Tensor& expected) {
  const Tensor a = found.to(DType::Float64), b = expected.to(DType::Float64);
  double square = 0.0, scale = 0.0;
  for (std::int64_t i = 0; i < b.numel(); ++i) {
    const double difference = a.data<double>()[i] - b.data<double>()[i];
    square += difference * difference;
    scale += b.data<double>()[i] * b.data<double>()[i];
  }
  if (scale == 0.0) return square == 0.0 ? 0.0 : std::nan("");
  return std::sqrt(square / scale);
}

double relative(const NamedTensors& found, const NamedTensors& expected) {
  double largest = found.size() == expected.size() ? 0.0 : std::nan("");
  for (const auto& [name, tensor] : expected) {
    const auto place = found.find(name);
    largest = worst(largest, place == found.end() ? std::nan("") : relative(place->second, tensor));
  }
  return largest;
}

// The mean of the ranks' bytes, and the most calls of any.
CommunicationStats mean_of_ranks(CommunicationStats stats, Communicator& world) {
  for (CollectiveCount* count : {&stats.all_reduce, &stats.all_gather, &stats.reduce_scatter,
                                 &stats.broadcast, &stats.send_receive}) {
    Tensor calls = Tensor::full({1}, static_cast<double>(count->calls), DType::Float64);
    world.all_reduce(calls, ReduceOp::Max);
    *count = {static_cast<std::int64_t>(calls.item()),
              sum_over_ranks(count->bytes, world) / world.world_size()};
  }
  return stats;
}

}  // namespace

ParityRun train_for_parity(const ParityTask& task, const TrainingLayout& layout,
                           Communicator& world, Device device, int sharing) {
  world.barrier();
  // What is kept of earlier runs is none of this one's.
  const std::int64_t kept = allocator_for(device).stats().bytes_in_use;
  allocator_for(device).reset_peak();
  world.barrier();
  TrainingSettings settings;
  settings.adamw.max_gradient_norm = 1.0;
  settings.seed = task.seed;
  ParityRun run;
  run.seconds = 1e30;
  GPTTraining training(task.model, layout, world, {task.dtype, device}, settings);
  for (std::int64_t step = 0; step < task.steps; ++step) {
    const CommunicationStats tensor_parallel = training.tensor_parallel_stats();
    const CommunicationStats data_parallel = training.data_parallel_stats();
    const auto start = std::chrono::steady_clock::now();
    const StepNumbers numbers =
        training.numbers(training.step({step, 1e-3, task.batch.sequences, task.batch.micro_batches},
                                       [&](std::int64_t first, std::int64_t count) {
                                         return batch_of(task, step, first, count);
                                       }));
    world.barrier();
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    run.seconds = std::min(run.seconds, seconds.count());
    run.tensor_parallel = mean_of_ranks(training.tensor_parallel_stats() - tensor_parallel, world);
    run.data_parallel = mean_of_ranks(training.data_parallel_stats() - data_parallel, world);
    run.losses.push_back(numbers.loss);
    run.gradient_norms.push_back(numbers.gradient_norm);
    if (step == 0) {
      run.peak_bytes =
          static_cast<double>(allocator_for(device).stats().peak_bytes_in_use - kept) / sharing;
      NamedTensors gradients = gather_gradients(training);
      if (world.rank() == 0) run.gradients = std::move(gradients);
    }
  }
  NamedTensors parameters = gather_parameters(training);
  if (world.rank() == 0) run.parameters = std::move(parameters);
  return run;
}

ParityDifference difference(const ParityRun& found, const ParityRun& expected) {
  ParityDifference result;
  for (std::size_t step = 0; step < expected.losses.size(); ++step) {
    const double loss = relative(found.losses.at(step), expected.losses[step]);
    result.loss = worst(result.loss, loss);
    if (step == 0) result.first_loss = loss;
  }
  result.gradients = worst(relative(found.gradients, expected.gradients),
                           relative(found.gradient_norms.at(0), expected.gradient_norms.at(0)));
  result.parameters = relative(found.parameters, expected.parameters);
  return result;
}

bool is_rounding(const ParityDifference& difference, DType dtype) {
  switch (dtype) {
    case DType::Float64:
      return difference.loss < 1e-9 && difference.gradients < 1e-9 && difference.parameters < 1e-9;
    case DType::BFloat16:
      return difference.first_loss < 4e-3 && difference.gradients < 3e-2;
    default:
      return difference.first_loss < 1e-5 && difference.gradients < 1e-5;
  }
}

}  // namespace shardgrad
