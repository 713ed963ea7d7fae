// block_sum() and block_max() of tensor/cuda/device_math.cuh, called again and again with the same
// scratch memory, as their contract allows.
#include "tensor/cuda/device_math.cuh"

#include <algorithm>
#include <functional>

#include "tensor/cuda/launch.cuh"
#include "tests/cuda/cuda_testing.h"

namespace shardgrad {
namespace {

using namespace cuda_testing;

constexpr int kRounds = 6;

__host__ __device__ inline float value_of(int thread, int round) {
  return static_cast<float>((thread * 37 + round * 101) % 1009);
}

__global__ void sum_rounds(float* results) {
  __shared__ float scratch[32];
  for (int round = 0; round < kRounds; ++round) {
    const int thread = static_cast<int>(threadIdx.x);
    const float sum = cuda::block_sum(value_of(thread, round), scratch);
    results[round * static_cast<int>(blockDim.x) + thread] = sum;
  }
}

__global__ void max_rounds(float* results) {
  __shared__ float scratch[32];
  for (int round = 0; round < kRounds; ++round) {
    const int thread = static_cast<int>(threadIdx.x);
    const float largest = cuda::block_max(value_of(thread, round), scratch);
    results[round * static_cast<int>(blockDim.x) + thread] = largest;
  }
}

void expect_rounds(const char* name, void (*kernel)(float*), int threads,
                   const std::function<float(float, float)>& combine) {
  Tensor results = device_output({kRounds, threads}, DType::Float32);
  cuda::launch(name, 1, static_cast<unsigned>(threads), 0, kernel,
               cuda::device_data<float>(results));
  Tensor expected = Tensor::empty({kRounds, threads}, DType::Float32);
  for (int round = 0; round < kRounds; ++round) {
    float result = 0;
    for (int i = 0; i < threads; ++i) result = combine(result, value_of(i, round));
    expected.slice(0, round, 1).fill(result);
  }
  EXPECT_TRUE(same_bits(results, expected)) << name << ", " << threads << " threads";
}

TEST(CudaDeviceMath, EveryThreadGetsTheResultOfEveryRound) {
  for (const int threads : {32, 96, 512, 1024}) {
    expect_rounds("sum_rounds", sum_rounds, threads, [](float a, float b) { return a + b; });
    expect_rounds("max_rounds", max_rounds, threads,
                  [](float a, float b) { return std::max(a, b); });
  }
}

}  // namespace
}  // namespace shardgrad
