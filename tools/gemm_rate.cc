#include "tools/gemm_rate.h"

#include <algorithm>
#include <cmath>

#include "tensor/allocator.h"
#include "tensor/kernels/gemm.h"
#include "tensor/kernels/random.h"
#include "tools/fastest_seconds.h"

namespace shardgrad {
namespace {

// Seconds of the fastest of `repeats` products on every rank at once.
double fastest_product(Communicator& world, DType dtype, Device device, std::int64_t size,
                       int repeats) {
  Tensor a = Tensor::empty({size, size}, dtype, device), b = Tensor::empty_like(a),
         c = Tensor::empty_like(a);
  kernels::fill_normal(a, {1, 1}, 0, 0.0, 1.0);
  kernels::fill_normal(b, {1, 2}, 0, 0.0, 1.0);
  return fastest_seconds(world, device, repeats, [&] { kernels::gemm(a, b, Tensor(), c, false); });
}

}  // namespace

double step_flops(const GPTConfig& config, std::int64_t sequences, std::int64_t tokens) {
  const double d = static_cast<double>(config.d_model),
               layers = static_cast<double>(config.n_layers);
  const double weights = layers * (4.0 * d * d + 2.0 * d * config.d_ff) + config.vocab_size * d;
  const double attention = layers * 2.0 * d * (static_cast<double>(tokens) + 1.0) / 2.0;
  return 3.0 * 2.0 * (weights + attention) * sequences * tokens;
}

double gemm_flops_per_second(Communicator& world, DType dtype, Device device, std::int64_t size,
                             int repeats) {
  const double best = fastest_product(world, dtype, device, size, repeats);
  world.barrier();
  allocator_for(device).release_cached_blocks();
  allocator_for(device).reset_peak();
  world.barrier();
  const double n = static_cast<double>(size);
  return world.world_size() * 2.0 * n * n * n / best;
}

std::int64_t quick_gemm_size(Device device, double flops, int ranks, int repeats) {
  constexpr double kShare = 0.01;
  constexpr std::int64_t kLeast = 512, kStep = 64;
  const std::int64_t most = device.type == DeviceType::Cuda ? large_gemm_size(device) : 1024;
  const double affordable = std::cbrt(kShare * flops / (2.0 * ranks * repeats));
  if (affordable < kLeast) return 0;
  return std::min(most, static_cast<std::int64_t>(affordable) / kStep * kStep);
}

std::int64_t large_gemm_size(Device device) {
  return device.type == DeviceType::Cuda ? 8192 : 1536;
}

}  // namespace shardgrad
