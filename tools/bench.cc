// Measures full training steps against the machine's own GEMM rate:
// `bazel run //tools:bench -- --preset=gpt2 --batch-size=4 --seq-len=64 --tp=1`.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <functional>
#include <vector>

#include "parallel/launch.h"
#include "tensor/allocator.h"
#include "tensor/kernels/random.h"
#include "tensor/matmul_precision.h"
#include "tensor/parallel_for.h"
#include "tools/device_options.h"
#include "tools/gemm_rate.h"
#include "tools/layout_options.h"
#include "tools/program.h"
#include "training/gpt_training.h"

namespace shardgrad {
namespace {

struct BenchOptions {
  std::string preset = "gpt2";
  std::int64_t batch_size = 4;
  std::int64_t seq_len = 64;
  TrainingLayout layout;
  int threads = 0;
  DeviceOptions device;
  std::int64_t warmup = 2;
  std::int64_t steps = 7;
};

// Seconds of one step, and of its phases in another one, at whose ends the device is waited for.
struct StepTimes {
  double total = 0.0, forward = 0.0, backward = 0.0, optimizer = 0.0;
};

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

Tensor random_ids(const BenchOptions& options, std::int64_t vocab_size, const char* name) {
  Tensor uniform = Tensor::empty({options.batch_size, options.seq_len}, DType::Float64);
  kernels::fill_uniform(uniform, {1, hash_name(name)}, 0, 0.0, static_cast<double>(vocab_size));
  return uniform.to(DType::Int32);
}

std::string processor_name() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    const auto colon = line.find(": ");
    if (line.rfind("model name", 0) == 0 && colon != std::string::npos)
      return line.substr(colon + 2);
  }
  return "unknown processor";
}

void report(const BenchOptions& options, const GPTConfig& config,
            const std::vector<Device>& devices, std::int64_t parameters, double gemm_rate,
            const std::vector<StepTimes>& times) {
  const auto median_of = [&](auto&& phase) {
    std::vector<double> values;
    for (const StepTimes& step : times) values.push_back(phase(step));
    return median(values);
  };
  const double step = median_of([](const StepTimes& t) { return t.total; });
  const double rate = step_flops(config, options.batch_size, options.seq_len) / step;
  const double tokens = static_cast<double>(options.batch_size * options.seq_len);
  fmt::print("machine     {}, {} cores\n", processor_name(), available_cores());
  fmt::print("device      {}, {}{}\n", describe(devices), name_of(dtype_of(options.device)),
             options.device.tf32 ? " with TF32 products" : "");
  fmt::print("model       {}: {:.1f} M parameters; {} x {} tokens a step, dropout {}\n",
             options.preset, parameters / 1e6, options.batch_size, options.seq_len, config.dropout);
  fmt::print("layout      {}, {} thread{} per rank\n", options.layout.to_string(),
             intra_op_threads(), intra_op_threads() == 1 ? "" : "s");
  fmt::print("step        {:.1f} ms (median of {}), {:.1f} tokens/s\n", step * 1e3, times.size(),
             tokens / step);
  fmt::print(
      "rate        {:.1f} GFLOP/s, {:.0f} % of the GEMM rate measured here, {:.1f} GFLOP/s\n",
      rate / 1e9, 100.0 * rate / gemm_rate, gemm_rate / 1e9);
  fmt::print("phases      forward {:.1f} ms, backward {:.1f} ms, norm and AdamW {:.1f} ms\n",
             1e3 * median_of([](const StepTimes& t) { return t.forward; }),
             1e3 * median_of([](const StepTimes& t) { return t.backward; }),
             1e3 * median_of([](const StepTimes& t) { return t.optimizer; }));
  fmt::print("memory      {:.2f} GB at most in tensors\n",
             allocator_for(devices.front()).stats().peak_bytes_in_use / 1e9);
}

void run_rank(const BenchOptions& options, const GPTConfig& config,
              const std::vector<Device>& devices, Communicator& world) {
  const bool leads = world.rank() == 0;
  const Device device = devices[world.rank()];
  const DType dtype = dtype_of(options.device);
  set_allow_tf32(options.device.tf32);
  // The fastest of eight: the machine may be busy with something else now and then.
  const double gemm_rate = gemm_flops_per_second(world, dtype, device, large_gemm_size(device), 8);
  TrainingSettings settings;
  settings.adamw.max_gradient_norm = 1.0;
  settings.seed = 1;
  GPTTraining training(config, options.layout, world, {dtype, device}, settings);
  const Tensor ids = random_ids(options, config.vocab_size, "ids");
  const Tensor targets = random_ids(options, config.vocab_size, "targets");
  // One step. `after_phase` is called at the end of the forward, the backward and the last phase.
  const auto train_step = [&](std::int64_t step, const std::function<void(int)>& after_phase) {
    training.on_phase_end(after_phase);
    const StepOutcome outcome =
        training.step({step, 1e-4, options.batch_size, 1},
                      [&](std::int64_t first, std::int64_t count) -> MicroBatch {
                        return {ids.slice(0, first, count), targets.slice(0, first, count)};
                      });
    training.numbers(outcome);  // as a training run does
    world.barrier();
  };
  std::vector<StepTimes> times;
  for (std::int64_t step = 0; step < options.warmup + options.steps; ++step) {
    StepTimes taken;
    wait_for(device);
    world.barrier();
    auto start = std::chrono::steady_clock::now();
    train_step(2 * step, [](int) {});
    taken.total = seconds_since(start);
    double* const phases[] = {&taken.forward, &taken.backward, &taken.optimizer};
    start = std::chrono::steady_clock::now();
    train_step(2 * step + 1, [&](int phase) {
      wait_for(device);
      *phases[phase] = seconds_since(start);
      start = std::chrono::steady_clock::now();
    });
    if (step >= options.warmup) times.push_back(taken);
    if (leads) {
      fmt::print(stderr, "step {}/{}{}: {:.1f} ms\n", step + 1, options.warmup + options.steps,
                 step < options.warmup ? " (warm-up)" : "", taken.total * 1e3);
    }
  }
  if (leads) {
    report(options, config, devices, global_parameter_count(training.model()), gemm_rate, times);
  }
}

bool parse(int argc, const char* const* argv, BenchOptions& options) {
  CLI::App app(
      "Times full training steps (forward, backward, gradient norm, AdamW) on random tokens.",
      "bench");
  const auto integer = [&](const char* name, auto& value, std::int64_t least, const char* text,
                           std::int64_t most = 2147483647) {
    app.add_option(name, value, text)->check(at_least(least, most))->capture_default_str();
  };
  app.add_option("--preset", options.preset,
                 "Shape of the model: " + CLI::detail::join(gpt_preset_names(), ", "))
      ->check(CLI::IsMember(gpt_preset_names()))
      ->capture_default_str();
  integer("--batch-size", options.batch_size, 1, "Sequences per step");
  integer("--seq-len", options.seq_len, 1, "Tokens of a sequence");
  integer("--threads", options.threads, 0, "Threads per rank; 0: an equal share of the cores",
          kMostThreads);
  integer("--warmup", options.warmup, 0, "Steps before the measured ones");
  integer("--steps", options.steps, 1,
          "Measured steps; each is followed by one whose phases are measured");
  add_layout_options(app, options.layout, "Layout");
  add_device_options(app, options.device, "Device");
  return parse_command_line(app, argc, argv);
}

}  // namespace
}  // namespace shardgrad

int main(int argc, char** argv) {
  return shardgrad::run_program("bench", [&](shardgrad::Processes& processes) {
    shardgrad::BenchOptions options;
    if (!shardgrad::parse(argc, argv, options)) return;
    const int world_size = processes.world_size(shardgrad::wanted_world_size(options.layout));
    shardgrad::complete_layout(options.layout, world_size);
    const shardgrad::GPTConfig config = shardgrad::gpt_preset(options.preset);
    options.layout.validate(config, options.batch_size, options.seq_len, 1);
    const std::vector<shardgrad::Device> devices =
        shardgrad::devices_of_ranks(options.device, world_size, processes);
    processes.run_ranks({devices, options.threads}, [&](shardgrad::Communicator& world) {
      shardgrad::run_rank(options, config, devices, world);
    });
  });
}
