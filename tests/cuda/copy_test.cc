#include "tensor/kernels/copy.h"

#include <cmath>
#include <limits>

#include "tests/cuda/cuda_testing.h"

namespace shardgrad {
namespace {

using namespace cuda_testing;
using reference::bitwise_equal;
using reference::random_tensor;

const DType kDtypes[] = {DType::Float32, DType::Float64, DType::BFloat16, DType::Int32};

TEST(CudaCopy, BetweenTheDevicesAndBack) {
  for (DType dtype : kDtypes) {
    // The second takes several of the pinned buffers in between.
    for (std::int64_t count : {1, 3000000}) {
      const Tensor x = random_tensor({count}, DType::Float32, 1, 100.0).to(dtype);
      EXPECT_TRUE(bitwise_equal(x.to(kGpu).to(Device{}), x));
    }
  }
}

TEST(CudaCopy, EveryPairOfDtypesConvertsAsOnTheCpu) {
  const double huge = std::numeric_limits<double>::infinity();
  const std::vector<double> values = {0.0,  -0.0,       1.5,   -1.5,         2.9,  -2.9,
                                      1e10, -1e10,      huge,  -huge,        1e-3, 16777217.0,
                                      3.0,  1.00390625, 257.5, -2147483648.0};
  for (DType from : kDtypes) {
    for (DType to : kDtypes) {
      const Tensor source =
          Tensor::from(values, {static_cast<std::int64_t>(values.size())}).to(from);
      Tensor out = device_output(source.shape(), to);
      out.copy_from(source.to(kGpu));
      EXPECT_TRUE(same_bits(out, source.to(to))) << name_of(from) << " to " << name_of(to);
    }
    if (from == DType::Int32) continue;
    const Tensor nan = Tensor::full({3}, std::nan(""), from, kGpu);
    EXPECT_TRUE(std::isnan(nan.to(DType::Float32).slice(0, 0, 1).item()));
    EXPECT_EQ(nan.to(DType::Int32).slice(0, 0, 1).item(), 0.0);
  }
}

TEST(CudaCopy, StridedViews) {
  for (DType dtype : {DType::Float32, DType::BFloat16, DType::Int32}) {
    const Tensor x = random_tensor({7, 33, 18}, DType::Float32, 1).to(dtype);
    const Tensor on_gpu = x.to(kGpu);
    EXPECT_TRUE(same_bits(on_gpu.transpose(0, 2).contiguous(), x.transpose(0, 2).contiguous()));
    EXPECT_TRUE(same_bits(on_gpu.slice(1, 3, 20).contiguous(), x.slice(1, 3, 20).contiguous()));
    EXPECT_TRUE(same_bits(on_gpu.slice(0, 2, 1).slice(2, 5, 1).contiguous(),
                          x.slice(0, 2, 1).slice(2, 5, 1).contiguous()));
    // Into a view, leaving the rest alone, from another dtype.
    Tensor out = Tensor::full({9, 40}, 5.0, dtype, kGpu);
    Tensor expected = Tensor::full({9, 40}, 5.0, dtype);
    const Tensor source = random_tensor({33, 7}, DType::Float64, 2);
    out.slice(0, 1, 7).slice(1, 4, 33).copy_from(source.to(kGpu).transpose(0, 1));
    expected.slice(0, 1, 7).slice(1, 4, 33).copy_from(source.transpose(0, 1));
    EXPECT_TRUE(same_bits(out, expected));
  }
}

TEST(CudaCopy, OverlappingViews) {
  const Tensor x = random_tensor({5000}, DType::Float32, 1);
  Tensor on_gpu = x.to(kGpu), on_cpu = x.clone();
  on_gpu.slice(0, 1, 4999).copy_from(on_gpu.slice(0, 0, 4999));
  on_cpu.slice(0, 1, 4999).copy_from(on_cpu.slice(0, 0, 4999));
  EXPECT_TRUE(same_bits(on_gpu, on_cpu));
}

TEST(CudaCopy, Fill) {
  for (DType dtype : kDtypes) {
    Tensor x = Tensor::zeros({9, 40}, dtype, kGpu);
    Tensor expected = Tensor::zeros({9, 40}, dtype);
    x.slice(1, 3, 30).transpose(0, 1).fill(2.7);
    expected.slice(1, 3, 30).transpose(0, 1).fill(2.7);
    EXPECT_TRUE(same_bits(x, expected)) << name_of(dtype);
  }
}

}  // namespace
}  // namespace shardgrad
