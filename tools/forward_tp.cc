// The classic check of tensor parallelism: one forward and backward pass of a small GPT on tp ranks
// against one rank on the CPU, dropout on.
#include <cmath>
#include <cstdio>
#include <functional>
#include <map>
#include <vector>

#include "model/gpt_model.h"
#include "parallel/launch.h"
#include "parallel/sharded_parameters.h"
#include "tensor/kernels/random.h"
#include "tensor/kernels/reduce.h"
#include "tools/device_options.h"
#include "tools/program.h"

namespace shardgrad {
namespace {

constexpr std::uint64_t kSeed = 123;
constexpr std::int64_t kBatch = 2, kTokens = 16;

GPTConfig check_config() {
  GPTConfig config;
  config.vocab_size = 10000;
  config.max_position_embeddings = 128;
  config.n_layers = 2;
  config.n_heads = 4;
  config.d_model = 128;
  config.d_ff = 512;
  config.dropout = 0.1;
  return config;
}

Tensor random_ids() {
  Tensor uniform = Tensor::empty({kBatch, kTokens}, DType::Float64);
  kernels::fill_uniform(uniform, {kSeed, hash_name("input_ids")}, 0, 0.0, 10000.0);
  return uniform.to(DType::Int32);
}

struct PassResult {
  Tensor logits;
  double loss = 0.0;
  std::map<std::string, Tensor> gradients;
  std::vector<double> difference_to_rank0;
};

double max_difference(const Tensor& a, const Tensor& b) {
  Tensor difference = Tensor::empty({1}, DType::Float64, a.device());
  kernels::max_abs_difference(a, b, difference);
  return difference.item();
}

// Starts the ranks on these devices.
using RankStarter = std::function<void(const std::vector<Device>& devices,
                                       const std::function<void(Communicator&)>& body)>;

PassResult run_pass(const std::vector<Device>& devices, const RankStarter& start_ranks) {
  PassResult result;
  start_ranks(devices, [&](Communicator& world) {
    GPTModel model(check_config(), world, {DType::Float32, devices[world.rank()]});
    initialize_parameters(model, kSeed);
    ForwardContext context;
    context.training = true;
    context.seed = kSeed;
    const Tensor ids = random_ids();
    const GPTOutput output = model.forward(ids, {}, ids, context);
    backward(output.loss);
    Tensor rank0_logits = output.logits.value().clone();
    world.broadcast(rank0_logits, 0);
    const double difference = max_difference(output.logits.value(), rank0_logits);
    Tensor differences = Tensor::empty({world.world_size()}, DType::Float64);
    world.all_gather(Tensor::full({1}, difference, DType::Float64), differences);
    for (const auto& [name, parameter] : model.named_parameters()) {
      Tensor global = gather_shards(parameter->variable.gradient(), parameter->shard, world);
      if (world.rank() == 0) result.gradients[name] = global.to(Device{});
    }
    if (world.rank() == 0) {
      result.difference_to_rank0 = differences.to_vector<double>();
      result.logits = output.logits.value().to(Device{});
      result.loss = output.loss.value().item();
    }
  });
  return result;
}

void check(int tp, const DeviceOptions& options, Processes& processes) {
  const std::vector<Device> devices = devices_of_ranks(options, tp, processes);
  const PassResult parallel = run_pass(
      devices, [&](const auto& places, const auto& body) { processes.run_ranks({places}, body); });
  if (!processes.leads()) return;
  const PassResult single =
      run_pass({Device{}}, [](const auto& places, const auto& body) { run_ranks({places}, body); });
  fmt::print("world_size: {}\n", tp);
  if (devices.front().type == DeviceType::Cuda) fmt::print("device: {}\n", describe(devices));
  for (int rank = 0; rank < tp; ++rank) {
    const double difference = parallel.difference_to_rank0[rank];
    fmt::print("rank {}: max diff vs rank0: {}\n", rank,
               difference == 0.0 ? "0.0" : fmt::format("{:.1e}", difference));
  }
  fmt::print("input_ids shape: {}\nlogits shape: {}\nloss: {:.4f}\n",
             Shape{kBatch, kTokens}.to_string(), parallel.logits.shape().to_string(),
             parallel.loss);
  double gradients = 0.0;
  for (const auto& [name, gradient] : single.gradients) {
    const double difference = max_difference(parallel.gradients.at(name), gradient);
    if (difference > gradients || std::isnan(difference)) gradients = difference;
  }
  const double forward = max_difference(parallel.logits, single.logits);
  fmt::print("max diff vs tp=1 (forward): {:.1e}\nmax diff vs tp=1 (gradients): {:.1e}\n", forward,
             gradients);
  for (double difference : parallel.difference_to_rank0) {
    require(difference == 0.0, "forward_tp", "the ranks' logits differ by {}; expected 0",
            difference);
  }
  require(forward < 1e-5 && gradients < 1e-5, "forward_tp",
          "tp={} differs from tp=1 by {} forward and {} in gradients; expected below 1e-5", tp,
          forward, gradients);
}

}  // namespace
}  // namespace shardgrad

int main(int argc, char** argv) {
  return shardgrad::run_program("forward_tp", [&](shardgrad::Processes& processes) {
    CLI::App app(
        "Runs a small GPT forward and backward on tp tensor-parallel ranks and compares with one "
        "rank on the CPU.",
        "forward_tp");
    int tp = 2;
    app.add_option("--tp", tp, "Tensor-parallel ranks: 1, 2 or 4")
        ->check(shardgrad::at_least(1, shardgrad::kMostThreads))
        ->capture_default_str();
    shardgrad::DeviceOptions device;
    shardgrad::add_device_option(app, device, "Options");
    if (shardgrad::parse_command_line(app, argc, argv)) {
      shardgrad::check(processes.world_size(tp), device, processes);
    }
  });
}
