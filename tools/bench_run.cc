#include "tools/bench_run.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <iostream>
#include <string>

#include "tensor/allocator.h"
#include "tensor/kernels/elementwise.h"
#include "tensor/kernels/random.h"
#include "tensor/matmul_precision.h"
#include "tensor/parallel_for.h"
#include "tools/fastest_seconds.h"
#include "tools/gemm_rate.h"
#include "tools/layout_options.h"

namespace shardgrad {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// A vector of float32 for each rank; those of all ranks together have the bytes of the cache that
// the cores share, or more: two such sets do not fit into it.
Tensor large_vector(Communicator& world, Device device) {
  constexpr std::int64_t kMiB = 1 << 20;
  const std::int64_t bytes =
      device.type == DeviceType::Cuda
          ? 256 * kMiB
          : std::max<std::int64_t>(64 * kMiB, sysconf(_SC_LEVEL3_CACHE_SIZE));
  Tensor vector = Tensor::empty({bytes / 4 / world.world_size()}, DType::Float32, device);
  kernels::fill_uniform(vector, {1, 3}, 0, 0.0, 1.0);
  return vector;
}

// Bytes per second of a += b on every rank at once, all ranks together: the best of several. In
// place, since what is written elsewhere is read first by a processor, unseen, and makes the rate
// lower than that of the optimizer.
double memory_bytes_per_second(Communicator& world, Device device) {
  Tensor a = large_vector(world, device);
  const Tensor b = large_vector(world, device);
  const double best = fastest_seconds(world, device, 8, [&] { kernels::add(a, b, a); });
  return 3.0 * 4.0 * static_cast<double>(a.numel()) * world.world_size() / best;
}

// Bytes per second of all_reduce, of which each rank reads its vectors once and writes them once,
// all ranks together: the best of several.
double all_reduce_bytes_per_second(Communicator& world, Device device) {
  Tensor a = large_vector(world, device), b = large_vector(world, device);
  const double best = fastest_seconds(world, device, 8, [&] {
    world.all_reduce(a);
    world.all_reduce(b);
  });
  return 2.0 * 2.0 * 4.0 * static_cast<double>(a.numel()) * world.world_size() / best;
}

Tensor random_ids(const BenchCase& task, const char* name) {
  Tensor uniform = Tensor::empty({task.batch_size, task.seq_len}, DType::Float64);
  kernels::fill_uniform(uniform, {1, hash_name(name)}, 0, 0.0,
                        static_cast<double>(task.model.vocab_size));
  return uniform.to(DType::Int32);
}

// One rank's steps.
class BenchRank {
 public:
  BenchRank(const BenchCase& task, Communicator& world, Device device)
      : task_(task),
        world_(world),
        device_(device),
        training_(task.model, task.layout, world, {dtype_of(task.device), device}, settings()),
        ids_(random_ids(task, "ids")),
        targets_(random_ids(task, "targets")) {}

  // The seconds of one step, and in another of its phases; `calls`: the operations of that one.
  StepTimes measure(std::vector<OperationSummary>& calls) {
    StepTimes taken;
    wait_for(device_);
    world_.barrier();
    auto start = Clock::now();
    train_step([](int) {});
    taken.total = seconds_since(start);
    double* const phases[] = {&taken.forward, &taken.backward, &taken.optimizer};
    const OperationTimes times;
    start = Clock::now();
    train_step([&](int phase) {
      wait_for(device_);
      *phases[phase] = seconds_since(start);
      start = Clock::now();
    });
    calls = summarize(times.calls());
    return taken;
  }

  std::int64_t parameters() const { return global_parameter_count(training_.model()); }

 private:
  static TrainingSettings settings() {
    TrainingSettings settings;
    settings.adamw.max_gradient_norm = 1.0;
    settings.seed = 1;
    return settings;
  }

  // `after_phase` is called at the end of the forward, the backward and the last phase.
  void train_step(std::function<void(int)> after_phase) {
    training_.on_phase_end(std::move(after_phase));
    TrainingStep step;
    step.step = steps_++;
    step.learning_rate = 1e-4;
    step.sequences = task_.batch_size;
    const StepOutcome outcome =
        training_.step(step, [&](std::int64_t first, std::int64_t count) -> MicroBatch {
          return {ids_.slice(0, first, count), targets_.slice(0, first, count)};
        });
    training_.numbers(outcome);  // as a training run does
    world_.barrier();
  }

  const BenchCase& task_;
  Communicator& world_;
  Device device_;
  GPTTraining training_;
  Tensor ids_, targets_;
  std::int64_t steps_ = 0;
};

void wait_for_turn() {
  std::string line;
  require(static_cast<bool>(std::getline(std::cin, line)), "bench",
          "the standard input ended before the last step; --paced wants a line for each");
}

void measure_steps(const BenchCase& task, const BenchRounds& rounds, Device device,
                   Communicator& world, BenchResult& result) {
  const bool leads = world.rank() == 0;
  BenchRank rank(task, world, device);
  std::vector<std::vector<OperationSummary>> calls;
  for (std::int64_t step = 0; step < rounds.warmup + rounds.steps; ++step) {
    if (rounds.paced && leads) wait_for_turn();
    std::vector<OperationSummary> step_calls;
    const StepTimes taken = rank.measure(step_calls);
    if (!leads) continue;
    fmt::print(stderr, "step {}/{}{}: {:.1f} ms\n", step + 1, rounds.warmup + rounds.steps,
               step < rounds.warmup ? " (warm-up)" : "", taken.total * 1e3);
    if (step < rounds.warmup) continue;
    result.steps.push_back(taken);
    calls.push_back(std::move(step_calls));
  }
  const std::int64_t parameters = rank.parameters();  // asks the other ranks
  if (!leads) return;
  result.operations = median_step(std::move(calls));
  result.parameters = parameters;
  result.peak_bytes_per_rank = static_cast<double>(allocator_for(device).stats().peak_bytes_in_use);
}

void run_rank(const BenchCase& task, const BenchRounds& rounds, Device device, Communicator& world,
              BenchResult& result) {
  const bool leads = world.rank() == 0;
  set_allow_tf32(task.device.tf32);
  // What the machine can do, before the steps and after them: it may be busy with something else
  // now and then, so the fastest of many counts.
  struct {
    double memory = 0.0, all_reduce = 0.0, gemm = 0.0;
  } rates;
  const auto measure_rates = [&] {
    rates.memory = std::max(rates.memory, memory_bytes_per_second(world, device));
    if (world.world_size() > 1) {
      rates.all_reduce = std::max(rates.all_reduce, all_reduce_bytes_per_second(world, device));
    }
    rates.gemm = std::max(rates.gemm, gemm_flops_per_second(world, dtype_of(task.device), device,
                                                            large_gemm_size(device), 8));
  };
  measure_rates();
  measure_steps(task, rounds, device, world, result);
  world.barrier();  // the peak of memory is read, and every rank has freed its tensors
  measure_rates();
  if (!leads) return;
  result.threads = intra_op_threads();
  result.flops = step_flops(task.model, task.batch_size, task.seq_len);
  result.gemm_rate = rates.gemm;
  result.memory_rate = rates.memory;
  result.all_reduce_rate = rates.all_reduce;
}

}  // namespace

StepTimes BenchResult::median() const {
  const auto of = [this](double StepTimes::*part) {
    std::vector<double> values;
    for (const StepTimes& step : steps) values.push_back(step.*part);
    std::sort(values.begin(), values.end());
    return values.at(values.size() / 2);
  };
  return {of(&StepTimes::total), of(&StepTimes::forward), of(&StepTimes::backward),
          of(&StepTimes::optimizer)};
}

BenchResult run_bench(BenchCase& task, const BenchRounds& rounds, Processes& processes) {
  const int world_size = processes.world_size(wanted_world_size(task.layout));
  complete_layout(task.layout, world_size);
  task.layout.validate(task.model, task.batch_size, task.seq_len, 1);
  const std::vector<Device> devices = devices_of_ranks(task.device, world_size, processes);
  BenchResult result;
  result.device = describe(devices);
  processes.run_ranks({devices, task.threads}, [&](Communicator& world) {
    run_rank(task, rounds, devices[world.rank()], world, result);
  });
  result.peak_bytes_per_rank /= static_cast<double>(ranks_sharing_memory(devices, processes));
  return result;
}

}  // namespace shardgrad
