#include "tensor/kernels/embedding.h"

#include <gtest/gtest.h>

#include "tests/support/reference.h"
#include "tests/tensor/kernel_testing.h"

namespace shardgrad {
namespace {

using kernel_testing::IntraOpThreads;
using reference::bitwise_equal;
using reference::Matrix;
using reference::random_ids;
using reference::random_tensor;
using reference::relative_difference;
using reference::to_matrix;
using ::testing::HasSubstr;

class EmbeddingTest : public kernel_testing::FloatingTest {};
INSTANTIATE_TEST_SUITE_P(Dtypes, EmbeddingTest, kernel_testing::floating_dtypes(),
                         kernel_testing::dtype_name);

struct Sizes {
  std::int64_t tokens, rows, columns;
};
const Sizes kSizes[] = {{1, 1, 1}, {5, 1, 48}, {37, 100, 1}, {37, 10, 48}, {3000, 257, 100}};

Matrix gradient_of(const Tensor& ids, const Tensor& dy, std::int64_t first_row,
                   const Tensor& dtable) {
  Matrix expected = to_matrix(dtable);
  const Matrix upstream = to_matrix(dy);
  for (std::int64_t m = 0; m < ids.numel(); ++m) {
    const std::int64_t row = ids.data<std::int32_t>()[m] - first_row;
    if (row >= 0 && row < expected.rows()) expected.row(row) += upstream.row(m);
  }
  return expected;
}

TEST_P(EmbeddingTest, ForwardPicksRows) {
  for (const Sizes& sizes : kSizes) {
    const Tensor ids = random_ids({sizes.tokens}, 0, static_cast<std::int32_t>(sizes.rows), 1);
    const Tensor table = random_tensor({sizes.rows, sizes.columns}, dtype(), 2);
    Tensor out = Tensor::full({sizes.tokens, sizes.columns}, 1e30, dtype());
    kernels::embedding_forward(ids, table, 0, out);
    for (std::int64_t m = 0; m < sizes.tokens; ++m) {
      ASSERT_TRUE(
          bitwise_equal(out.slice(0, m, 1), table.slice(0, ids.data<std::int32_t>()[m], 1)));
    }
  }
}

TEST_P(EmbeddingTest, ShardsAddUpToTheWhole) {
  const Tensor ids = random_ids({500}, 0, 100, 1);
  const Tensor table = random_tensor({100, 48}, dtype(), 2);
  Tensor whole = Tensor::empty({500, 48}, dtype());
  kernels::embedding_forward(ids, table, 0, whole);
  Matrix sum = Matrix::Zero(500, 48);
  for (std::int64_t first : {0, 37}) {
    const std::int64_t rows = first == 0 ? 37 : 63;
    Tensor part = Tensor::full({500, 48}, 1e30, dtype());
    kernels::embedding_forward(ids, table.slice(0, first, rows), first, part);
    sum += to_matrix(part);
  }
  EXPECT_EQ(relative_difference(whole, sum), 0.0);
}

TEST_P(EmbeddingTest, BackwardAddsIntoRows) {
  for (const Sizes& sizes : kSizes) {
    const Tensor ids = random_ids({sizes.tokens}, 0, static_cast<std::int32_t>(sizes.rows), 1);
    const Tensor dy = random_tensor({sizes.tokens, sizes.columns}, dtype(), 2);
    const Tensor before = random_tensor({sizes.rows, sizes.columns}, dtype(), 3);
    Tensor dtable = before.clone();
    kernels::embedding_backward(ids, dy, 0, dtable);
    EXPECT_LT(relative_difference(dtable, gradient_of(ids, dy, 0, before)), tolerance());
    Tensor sums = before.to(accumulator()).clone();
    kernels::embedding_backward(ids, dy, 0, sums);
    EXPECT_LT(relative_difference(sums, gradient_of(ids, dy, 0, before)), sum_tolerance());
    // One rounding at the end, however many tokens a row has.
    EXPECT_TRUE(bitwise_equal(dtable, sums.to(dtype())));
  }
}

TEST_P(EmbeddingTest, BackwardOfAShardHoldsTheBitsOfTheWhole) {
  const Tensor ids = random_ids({2000}, 0, 100, 1);
  const Tensor dy = random_tensor({2000, 96}, dtype(), 2);
  Tensor whole = Tensor::zeros({100, 96}, dtype());
  kernels::embedding_backward(ids, dy, 0, whole);
  for (int threads : {1, 2, 3}) {
    const IntraOpThreads scope(threads);
    Tensor again = Tensor::zeros({100, 96}, dtype());
    kernels::embedding_backward(ids, dy, 0, again);
    EXPECT_TRUE(bitwise_equal(again, whole)) << threads;
  }
  Tensor part = Tensor::zeros({40, 96}, dtype());
  kernels::embedding_backward(ids, dy, 30, part);
  EXPECT_TRUE(bitwise_equal(part, whole.slice(0, 30, 40)));
}

TEST_P(EmbeddingTest, Errors) {
  const Tensor table = Tensor::zeros({10, 4}, dtype());
  Tensor out = Tensor::zeros({3, 4}, dtype());
  const Tensor ids = Tensor::from(std::vector<std::int32_t>{1, 2, -7}, {3});
  EXPECT_EQ(error_of([&] { kernels::embedding_forward(ids, table, 0, out); }),
            "[embedding_forward] id -7 at position 2 is negative; expected a row of the table");
  Tensor dtable = Tensor::zeros({10, 4}, dtype());
  EXPECT_THAT(error_of([&] { kernels::embedding_backward(ids, out, 0, dtable); }),
              HasSubstr("[embedding_backward] id -7 at position 2"));
  const Tensor good = Tensor::zeros({3}, DType::Int32);
  EXPECT_THAT(error_of([&] { kernels::embedding_forward(table, table, 0, out); }),
              HasSubstr("ids has shape [10, 4]; expected [40]"));
  EXPECT_THAT(error_of([&] { kernels::embedding_forward(out.reshape({12}), table, 0, out); }),
              HasSubstr("expected int32"));
  EXPECT_THAT(error_of([&] { kernels::embedding_backward(good, table, 0, dtable); }),
              HasSubstr("dy has shape [10, 4]; expected [3, 4]"));
}

}  // namespace
}  // namespace shardgrad
