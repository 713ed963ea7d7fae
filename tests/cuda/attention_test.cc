// CUDA attention against the CPU's: sizes around the kernels' tiles, masks, dropout, slices of the
// heads and of the batch.
#include "tensor/kernels/attention.h"

#include <cmath>
#include <limits>

#include "tests/cuda/cuda_testing.h"
#include "tests/support/error_of.h"

namespace shardgrad {
namespace {

using namespace cuda_testing;
using reference::Matrix;
using reference::to_matrix;
using ::testing::HasSubstr;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

class CudaAttentionTest : public CudaTest {
 protected:
  // float64: sums of at most 256 terms of mixed signs, and exponentials of scores of some units.
  // bfloat16: the probabilities and the scores' gradients are rounded (2^-9 at most, half of it on
  // average) before they are summed, and the result once more.
  static double tolerance() {
    return dtype() == DType::Float64 ? 1e-12 : dtype() == DType::Float32 ? 2e-6 : 1e-2;
  }
};
INSTANTIATE_TEST_SUITE_P(Dtypes, CudaAttentionTest,
                         ::testing::Values(DType::Float32, DType::Float64, DType::BFloat16),
                         dtype_name);

// Heads [1, 1 + heads) of a layer of heads + 2, sequences from the third of the step on.
AttentionShape slice_of_layer(std::int64_t batch, std::int64_t tokens, std::int64_t heads,
                              std::int64_t head_dim) {
  return {batch, tokens, heads, head_dim, 1, heads + 2, 3};
}

DropoutMask dropout_of(double probability) { return {probability, {17, 23}, 0}; }

struct Inputs {
  Inputs(const AttentionShape& shape, DType dtype, double scale = 1.0)
      : qkv(random_input({shape.batch * shape.tokens, 3 * shape.heads * shape.head_dim}, dtype, 1,
                         scale)),
        dout(random_input({shape.batch * shape.tokens, shape.heads * shape.head_dim}, dtype, 2)) {}

  Input qkv, dout;
};

// The outputs of both passes on the device of the tensors; NaN before the kernels have written
// them.
struct Result {
  Result(const Tensor& qkv, const Tensor& key_padding_mask, const Tensor& dout,
         const AttentionShape& shape, const DropoutMask& dropout)
      : out(filled(dout.shape(), qkv.dtype(), qkv.device())),
        log_sum_exp(filled({shape.batch, shape.heads, shape.tokens},
                           accumulation_dtype(qkv.dtype()), qkv.device())),
        dqkv(filled(qkv.shape(), qkv.dtype(), qkv.device())) {
    kernels::attention_forward(qkv, key_padding_mask, shape, dropout, out, log_sum_exp);
    kernels::attention_backward(qkv, key_padding_mask, out, log_sum_exp, dout, shape, dropout,
                                dqkv);
  }
  static Tensor filled(const Shape& shape, DType dtype, Device device) {
    return Tensor::full(shape, kNaN, dtype).to(device);
  }

  Tensor out, log_sum_exp, dqkv;
};

bool same_result(const Result& a, const Result& b) {
  return same_bits(a.out, b.out.to(Device{})) &&
         same_bits(a.log_sum_exp, b.log_sum_exp.to(Device{})) &&
         same_bits(a.dqkv, b.dqkv.to(Device{}));
}

Tensor on_device(const Tensor& tensor) { return tensor.defined() ? tensor.to(kGpu) : tensor; }

// Runs both passes on both devices and compares them.
void expect_as_the_cpu(const Inputs& inputs, const Tensor& key_padding_mask,
                       const AttentionShape& shape, const DropoutMask& dropout, double tolerance,
                       double statistics_tolerance) {
  SCOPED_TRACE(fmt::format("B={} T={} H={} Dh={} p={}", shape.batch, shape.tokens, shape.heads,
                           shape.head_dim, dropout.probability));
  const Result result(inputs.qkv.device, on_device(key_padding_mask), inputs.dout.device, shape,
                      dropout);
  const Result expected(inputs.qkv.host, key_padding_mask, inputs.dout.host, shape, dropout);
  EXPECT_LT(difference(result.out, expected.out), tolerance);
  // Of one token or one column nothing may be left of a gradient but the rounding of what
  // cancelled.
  const Matrix gradient = to_matrix(result.dqkv.to(Device{}).to(DType::Float64));
  const Matrix expected_gradient = to_matrix(expected.dqkv.to(DType::Float64));
  EXPECT_LE((gradient - expected_gradient).norm(), tolerance * expected_gradient.norm());
  // The log-sum-exp may be -infinity: such rows are compared exactly, the others by distance.
  Matrix sums = to_matrix(result.log_sum_exp.to(Device{})), rows = to_matrix(expected.log_sum_exp);
  for (Eigen::Index index = 0; index < sums.size(); ++index) {
    double &sum = sums.data()[index], &expected_sum = rows.data()[index];
    if (std::isfinite(expected_sum)) continue;
    EXPECT_EQ(sum, expected_sum) << "row " << index;
    sum = expected_sum = 0.0;
  }
  EXPECT_LE((sums - rows).norm(), statistics_tolerance * (rows.norm() + 1.0));
}

TEST_P(CudaAttentionTest, EverySizeOfASequence) {
  for (std::int64_t tokens : {1, 5, 63, 64, 65, 130}) {
    const AttentionShape shape = slice_of_layer(2, tokens, 2, 64);
    const Inputs inputs(shape, dtype());
    for (double probability : {0.0, 0.3}) {
      expect_as_the_cpu(inputs, Tensor(), shape, dropout_of(probability), tolerance(),
                        accumulator_tolerance());
    }
  }
}

TEST_P(CudaAttentionTest, EverySizeOfAHead) {
  for (std::int64_t head_dim : {1, 3, 40, 48, 80, 128, 256}) {
    for (std::int64_t tokens : {5, 67}) {
      const AttentionShape shape = slice_of_layer(1, tokens, 3, head_dim);
      const Inputs inputs(shape, dtype());
      for (double probability : {0.0, 0.3}) {
        expect_as_the_cpu(inputs, Tensor(), shape, dropout_of(probability), tolerance(),
                          accumulator_tolerance());
      }
    }
  }
}

// Row 0 of a mask: all visible. Rows 1 and 2: padded at the right and at the left. Row 3: holes.
// Row 4: nothing visible.
Tensor padding_masks(std::int64_t tokens) {
  Tensor mask = Tensor::full({5, tokens}, 1.0, DType::Int32);
  std::int32_t* const visible = mask.data<std::int32_t>();
  for (std::int64_t key = 0; key < tokens; ++key) {
    if (key >= tokens - tokens / 3) visible[tokens + key] = 0;
    if (key < tokens - tokens / 3) visible[2 * tokens + key] = 0;
    if (key % 3 == 1) visible[3 * tokens + key] = 0;
    visible[4 * tokens + key] = 0;
  }
  return mask;
}

TEST_P(CudaAttentionTest, PaddingMasks) {
  for (std::int64_t tokens : {1, 37, 130}) {
    const AttentionShape shape = slice_of_layer(5, tokens, 2, 16);
    const Inputs inputs(shape, dtype());
    for (double probability : {0.0, 0.3}) {
      expect_as_the_cpu(inputs, padding_masks(tokens), shape, dropout_of(probability), tolerance(),
                        accumulator_tolerance());
    }
  }
}

TEST_P(CudaAttentionTest, QueriesWithoutKeysGiveExactZeros) {
  constexpr std::int64_t kTokens = 130, kHeads = 2;
  const AttentionShape shape = slice_of_layer(5, kTokens, kHeads, 16);
  const Inputs inputs(shape, dtype());
  const Result result(inputs.qkv.device, padding_masks(kTokens).to(kGpu), inputs.dout.device, shape,
                      dropout_of(0.3));
  const Matrix out = to_matrix(result.out.to(Device{}));
  const Matrix dqkv = to_matrix(result.dqkv.to(Device{}));
  EXPECT_TRUE(out.allFinite());
  EXPECT_TRUE(dqkv.allFinite());
  // Left padding: queries before the first visible key. And the sequence with no key at all.
  const std::pair<std::int64_t, std::int64_t> hidden[] = {{2 * kTokens, kTokens - kTokens / 3},
                                                          {4 * kTokens, kTokens}};
  for (const auto& [first, rows] : hidden) {
    EXPECT_TRUE((out.middleRows(first, rows).array() == 0.0).all());
    EXPECT_TRUE((dqkv.middleRows(first, rows).array() == 0.0).all());
  }
  const Matrix sums = to_matrix(result.log_sum_exp.to(Device{}));
  EXPECT_TRUE((sums.middleRows(4 * kHeads, kHeads).array() == -kInfinity).all());
}

// The tensor's elements, from one element after a multiple of 16 bytes on.
Tensor off_alignment(const Tensor& tensor) {
  Tensor memory = Tensor::full({tensor.numel() + 1}, 0.0, tensor.dtype()).to(kGpu);
  Tensor view = memory.slice(0, 1, tensor.numel()).reshape(tensor.shape());
  view.copy_from(tensor);
  return view;
}

TEST_P(CudaAttentionTest, AlignmentDoesNotChangeABit) {
  for (std::int64_t head_dim : {16, 64}) {
    const AttentionShape shape = slice_of_layer(1, 67, 2, head_dim);
    const Inputs inputs(shape, dtype());
    const Result aligned(inputs.qkv.device, Tensor(), inputs.dout.device, shape, dropout_of(0.3));
    Result shifted(off_alignment(inputs.qkv.device), Tensor(), inputs.dout.device, shape,
                   dropout_of(0.3));
    EXPECT_TRUE(same_result(shifted, aligned));
    Tensor out = off_alignment(shifted.out), dqkv = off_alignment(shifted.dqkv);
    kernels::attention_forward(inputs.qkv.device, Tensor(), shape, dropout_of(0.3), out,
                               shifted.log_sum_exp);
    kernels::attention_backward(inputs.qkv.device, Tensor(), out, shifted.log_sum_exp,
                                off_alignment(inputs.dout.device), shape, dropout_of(0.3), dqkv);
    EXPECT_TRUE(same_bits(out, aligned.out.to(Device{})));
    EXPECT_TRUE(same_bits(dqkv, aligned.dqkv.to(Device{})));
  }
}

TEST_P(CudaAttentionTest, EveryRunGivesTheSameBits) {
  const AttentionShape shape = slice_of_layer(2, 130, 2, 40);
  const Inputs inputs(shape, dtype());
  const Result first(inputs.qkv.device, Tensor(), inputs.dout.device, shape, dropout_of(0.3));
  for (int run = 0; run < 2; ++run) {
    const Result again(inputs.qkv.device, Tensor(), inputs.dout.device, shape, dropout_of(0.3));
    EXPECT_TRUE(same_result(again, first));
  }
}

// Scores of tens of thousands: exp would overflow without the maximum, and the maximum grows from
// tile to tile.
TEST_P(CudaAttentionTest, LargeScoresDoNotOverflow) {
  const AttentionShape shape = slice_of_layer(1, 130, 2, 16);
  const Inputs inputs(shape, dtype(), /*scale=*/100.0);
  const Result result(inputs.qkv.device, Tensor(), inputs.dout.device, shape, dropout_of(0.0));
  const Result expected(inputs.qkv.host, Tensor(), inputs.dout.host, shape, dropout_of(0.0));
  EXPECT_TRUE(to_matrix(result.dqkv.to(Device{})).allFinite());
  // A score near 1e4 carries a rounding of 1e4 epsilons, which its exponential passes on.
  const double bound = 1e4 * (dtype() == DType::Float64 ? 2.2e-16 : 1.2e-7);
  EXPECT_LT(difference(result.out, expected.out), std::max(bound, tolerance()));
}

// NaN times a probability of zero is NaN, so what a tile hides must not be multiplied with. Within
// a tile it is: the change there is a finite one.
TEST_P(CudaAttentionTest, TheFutureDoesNotReachThePast) {
  constexpr std::int64_t kTokens = 200, kBlock = 64;  // a multiple of all tiles
  const AttentionShape shape = slice_of_layer(1, kTokens, 1, 40);
  const Inputs inputs(shape, dtype());
  const DropoutMask dropout = dropout_of(0.3);
  const Result before(inputs.qkv.device, Tensor(), inputs.dout.device, shape, dropout);
  const auto changed = [&](std::int64_t first, const Tensor& values) {
    Tensor qkv = inputs.qkv.device.to(Device{});
    qkv.slice(0, first, kTokens - first).copy_from(values);
    return qkv.to(kGpu);
  };
  const auto early = [](const Tensor& tensor, std::int64_t rows, std::int64_t columns) {
    return tensor.to(Device{}).slice(0, 0, rows).slice(1, 0, columns).contiguous();
  };
  for (std::int64_t first : {std::int64_t{1}, std::int64_t{63}, kBlock, 2 * kBlock + 2}) {
    const Shape future{kTokens - first, 3 * shape.head_dim};
    const bool between_tiles = first % kBlock == 0;
    const Tensor values = between_tiles
                              ? Tensor::full(future, kNaN, dtype())
                              : reference::random_tensor(future, DType::Float64, 3).to(dtype());
    const Result after(changed(first, values), Tensor(), inputs.dout.device, shape, dropout);
    const std::int64_t dim = shape.head_dim;
    EXPECT_TRUE(
        reference::bitwise_equal(early(after.out, first, dim), early(before.out, first, dim)))
        << first;
    // The gradient of an early query is of early keys; that of an early key is of later queries.
    EXPECT_TRUE(
        reference::bitwise_equal(early(after.dqkv, first, dim), early(before.dqkv, first, dim)))
        << first;
    EXPECT_FALSE(same_bits(after.out, before.out.to(Device{})));
  }
}

TEST_P(CudaAttentionTest, ThePastsQueriesDoNotReachTheFuturesKeys) {
  constexpr std::int64_t kTokens = 200, kFirst = 128;  // a multiple of all tiles
  const AttentionShape shape = slice_of_layer(1, kTokens, 1, 40);
  const Inputs inputs(shape, dtype());
  const Result before(inputs.qkv.device, Tensor(), inputs.dout.device, shape, dropout_of(0.0));
  Tensor qkv = inputs.qkv.device.to(Device{}), dout = inputs.dout.device.to(Device{});
  qkv.slice(0, 0, kFirst).slice(1, 0, shape.head_dim).fill(kNaN);
  dout.slice(0, 0, kFirst).fill(kNaN);
  const Result after(qkv.to(kGpu), Tensor(), dout.to(kGpu), shape, dropout_of(0.0));
  const auto late = [](const Tensor& tensor) {
    return tensor.to(Device{}).slice(0, kFirst, kTokens - kFirst).contiguous();
  };
  EXPECT_TRUE(reference::bitwise_equal(late(after.dqkv), late(before.dqkv)));
}

TEST_P(CudaAttentionTest, Errors) {
  const AttentionShape shape = slice_of_layer(1, 2, 1, 257);
  const Inputs inputs(shape, dtype());
  EXPECT_EQ(error_of([&] {
              Result(inputs.qkv.device, Tensor(), inputs.dout.device, shape, dropout_of(0.0));
            }),
            "[attention_forward] head_dim is 257; the CUDA kernel takes at most 256");
}

}  // namespace
}  // namespace shardgrad
