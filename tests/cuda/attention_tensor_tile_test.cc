// TensorMap of tensor/cuda/attention_tensor_tile.cuh, made again and again in one scratch memory.
#include "tensor/cuda/attention_tensor_tile.cuh"

#include "tensor/cuda/launch.cuh"
#include "tests/cuda/cuda_testing.h"

namespace shardgrad {
namespace {

using namespace cuda_testing;

/// Writes the places of all elements of a fragment, as the last of several maps has them.
__global__ void make_maps(float* places) {
  __shared__ __align__(32) float scratch[cuda::kFragmentEdge * cuda::kFragmentEdge];
  for (int round = 0; round < 3; ++round) {
    const cuda::TensorMap map(scratch);
    for (int pair = 0; pair < cuda::kFragmentPairs; ++pair) {
      const int place = map.row(pair) * cuda::kFragmentEdge + map.column(pair);
      places[place] = static_cast<float>(place);
      places[place + 1] = static_cast<float>(place + 1);
    }
    __syncwarp();
  }
}

TEST(CudaTensorMap, MadeAgainInTheSameMemoryCoversEveryElementOnce) {
  constexpr int kElements = cuda::kFragmentEdge * cuda::kFragmentEdge;
  Tensor places = Tensor::zeros({kElements}, DType::Float32, kGpu);
  cuda::launch("make_maps", 1, 32, 0, make_maps, cuda::device_data<float>(places));
  std::vector<double> expected(kElements);
  for (int i = 0; i < kElements; ++i) expected[static_cast<std::size_t>(i)] = i;
  EXPECT_TRUE(same_bits(places, Tensor::from(expected, {kElements})));
}

}  // namespace
}  // namespace shardgrad
