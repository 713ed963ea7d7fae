#include "tensor/kernels/copy.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "tests/support/reference.h"
#include "tests/tensor/kernel_testing.h"

namespace shardgrad {
namespace {

using kernel_testing::IntraOpThreads;
using reference::bitwise_equal;
using reference::random_ids;
using reference::random_tensor;
using ::testing::HasSubstr;

const DType kDtypes[] = {DType::Float32, DType::Float64, DType::BFloat16, DType::Int32};

// The element of `tensor` at `index`, counted in row-major order, read through the strides.
double element(const Tensor& tensor, std::int64_t index) {
  std::int64_t offset = 0;
  for (int dim = tensor.rank() - 1; dim >= 0; --dim) {
    offset += index % tensor.shape()[dim] * tensor.strides()[dim];
    index /= tensor.shape()[dim];
  }
  switch (tensor.dtype()) {
    case DType::Float32:
      return tensor.data<float>()[offset];
    case DType::Float64:
      return tensor.data<double>()[offset];
    case DType::BFloat16:
      return static_cast<float>(tensor.data<BFloat16>()[offset]);
    case DType::Int32:
      return tensor.data<std::int32_t>()[offset];
  }
  return 0.0;
}

::testing::AssertionResult same_elements(const Tensor& a, const Tensor& b) {
  for (std::int64_t i = 0; i < a.numel(); ++i) {
    if (element(a, i) != element(b, i)) {
      return ::testing::AssertionFailure()
             << "element " << i << " is " << element(a, i) << " against " << element(b, i);
    }
  }
  return ::testing::AssertionSuccess();
}

TEST(Copy, EveryPairOfDtypes) {
  for (DType from : kDtypes) {
    for (DType to : kDtypes) {
      const Tensor source = random_ids({37, 48}, -256, 257, 1).to(from);
      Tensor destination = Tensor::full({37, 48}, 0.5, to);
      kernels::copy(source, destination);
      EXPECT_TRUE(same_elements(source, destination)) << name_of(from) << " to " << name_of(to);
    }
  }
}

// Every order of dims on each side, with slices that leave gaps, at sizes around the tile's.
class CopyLayoutTest : public kernel_testing::FloatingTest {};
INSTANTIATE_TEST_SUITE_P(Dtypes, CopyLayoutTest, ::testing::Values(DType::Float32, DType::BFloat16),
                         kernel_testing::dtype_name);

TEST_P(CopyLayoutTest, EveryPairOfLayouts) {
  for (std::int64_t extent : {1, 5, 32, 67}) {
    const Shape padded{extent + 2, extent + 1, 7, 3};
    const std::vector<std::vector<std::pair<int, int>>> swaps = {
        {}, {{0, 1}}, {{2, 3}}, {{0, 3}}, {{1, 2}}, {{0, 2}, {1, 3}}, {{0, 1}, {2, 3}}};
    for (const auto& swap : swaps) {
      Tensor source = random_tensor(padded, dtype(), 2);
      for (auto [first, second] : swap) source = source.transpose(first, second);
      for (int dim = 0; dim < 4; ++dim) {
        if (source.size(dim) > 3) source = source.slice(dim, 1, source.size(dim) - 2);
      }
      Tensor dense = Tensor::empty(source.shape(), dtype());
      kernels::copy(source, dense);
      ASSERT_TRUE(same_elements(source, dense)) << source.strides().to_string();

      Tensor strided = Tensor::zeros(padded, dtype());
      for (auto [first, second] : swap) strided = strided.transpose(first, second);
      for (int dim = 0; dim < 4; ++dim) {
        if (strided.size(dim) > 3) strided = strided.slice(dim, 1, strided.size(dim) - 2);
      }
      kernels::copy(dense, strided);
      ASSERT_TRUE(same_elements(dense, strided)) << strided.strides().to_string();
    }
  }
}

TEST(Copy, LeavesTheGapsAlone) {
  Tensor matrix = Tensor::full({40, 50}, 7.0);
  Tensor inner = matrix.slice(0, 10, 20).slice(1, 5, 30);
  kernels::copy(random_tensor({20, 30}, DType::Float32, 3), inner);
  for (std::int64_t row = 0; row < 40; ++row) {
    for (std::int64_t column = 0; column < 50; ++column) {
      if (row >= 10 && row < 30 && column >= 5 && column < 35) continue;
      ASSERT_EQ(matrix.data<float>()[row * 50 + column], 7.0f);
    }
  }
}

TEST(Copy, LargeCopiesAreTheSameOnAnyNumberOfThreads) {
  const Tensor source = random_tensor({700, 301}, DType::BFloat16, 4).to(DType::Float32);
  for (const Tensor& view : {source, source.transpose(0, 1), source.slice(1, 7, 201)}) {
    for (int threads : {1, 2, 3}) {
      const IntraOpThreads scope(threads);
      for (DType dtype : {DType::Float32, DType::Float64, DType::BFloat16}) {
        Tensor destination = Tensor::empty(view.shape(), dtype);
        kernels::copy(view, destination);
        ASSERT_TRUE(same_elements(view, destination));
      }
    }
  }
}

TEST(Copy, OverlappingMemory) {
  const Tensor original = random_tensor({64, 64}, DType::Float32, 5);
  Tensor square = original.clone();
  Tensor transposed = square.transpose(0, 1);
  kernels::copy(square, transposed);
  EXPECT_TRUE(same_elements(square, original.transpose(0, 1)));

  Tensor shifted = original.clone();
  Tensor tail = shifted.slice(0, 1, 63);
  kernels::copy(shifted.slice(0, 0, 63), tail);
  EXPECT_TRUE(same_elements(tail, original.slice(0, 0, 63)));

  Tensor itself = original.clone();
  kernels::copy(itself, itself);
  EXPECT_TRUE(bitwise_equal(itself, original));
}

TEST(Copy, FloatingToIntegerRoundsTowardZeroAndStaysInRange) {
  const double infinity = std::numeric_limits<double>::infinity();
  const Tensor source = Tensor::from(
      std::vector<double>{1.9, -1.9, 3e9, -3e9, infinity, -infinity, std::nan("")}, {7});
  for (DType dtype : {DType::Float32, DType::Float64, DType::BFloat16}) {
    EXPECT_EQ(source.to(dtype).to(DType::Int32).to_vector<std::int32_t>(),
              (std::vector<std::int32_t>{1, -1, 2147483647, -2147483647 - 1, 2147483647,
                                         -2147483647 - 1, 0}));
  }
}

TEST(Copy, KeepsEveryBitOfItsDtype) {
  const Tensor source = Tensor::from(
      std::vector<float>{-0.0f, std::nanf("17"), 1e-45f, std::numeric_limits<float>::infinity()},
      {4});
  EXPECT_TRUE(bitwise_equal(source.clone(), source));
  // A bfloat16 NaN is copied as it is too, through strides as well.
  Tensor narrow = Tensor::zeros({3, 4}, DType::BFloat16);
  for (int i = 0; i < 12; ++i) {
    narrow.data<BFloat16>()[i].bits = static_cast<std::uint16_t>(0xff81 + i);
  }
  EXPECT_TRUE(bitwise_equal(narrow.clone(), narrow));
  const Tensor transposed = narrow.transpose(0, 1).contiguous();
  EXPECT_EQ(transposed.data<BFloat16>()[1].bits, 0xff85);
}

TEST(Copy, Errors) {
  Tensor destination = Tensor::zeros({2, 3});
  EXPECT_EQ(error_of([&] {
              kernels::copy(Tensor::zeros({3, 2}), destination);
            }),
            "[copy] cannot copy shape [3, 2] into shape [2, 3]");
  EXPECT_THAT(error_of([&] { kernels::copy(Tensor(), destination); }),
              HasSubstr("[copy] the source is undefined"));
}

TEST(Fill, AnyDtypeAndStrides) {
  for (DType dtype : kDtypes) {
    Tensor matrix = Tensor::zeros({300, 400}, dtype);
    Tensor inner = matrix.transpose(0, 1).slice(0, 3, 350).slice(1, 1, 298);
    kernels::fill(inner, 3.0);
    double total = 0.0;
    for (std::int64_t i = 0; i < matrix.numel(); ++i) total += element(matrix, i);
    EXPECT_EQ(total, 3.0 * 350 * 298) << name_of(dtype);
    for (std::int64_t i = 0; i < inner.numel(); ++i) ASSERT_EQ(element(inner, i), 3.0);
  }
}

}  // namespace
}  // namespace shardgrad
