// Causal attention of what is not a finite number.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/tensor/attention_run.h"
#include "tests/tensor/kernel_testing.h"

namespace shardgrad {
namespace {

using attention_run::dropout_of;
using attention_run::Inputs;
using attention_run::Result;
using attention_run::whole;
using reference::bitwise_equal;
using reference::Matrix;
using reference::to_matrix;

class AttentionNumbersTest : public kernel_testing::FloatingTest {};
INSTANTIATE_TEST_SUITE_P(Dtypes, AttentionNumbersTest, kernel_testing::floating_dtypes(),
                         kernel_testing::dtype_name);

// What is not a number shows in every query that sees it, and in no other: a NaN in a query or a
// key makes its scores NaN, an infinite key infinite ones, of which the lower is a hidden key.
TEST_P(AttentionNumbersTest, NonFiniteScoresShow) {
  constexpr std::int64_t kTokens = 130, kDim = 16;
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  const AttentionShape shape = whole(1, kTokens, 1, kDim);
  const Inputs inputs(shape, dtype());
  const Result clean(inputs.qkv, Tensor(), inputs.dout, shape, dropout_of(0.0));
  for (std::int64_t changed : {0, 1, 63, 64, 100}) {
    SCOPED_TRACE(changed);
    const auto with = [&](std::int64_t column, double value) {
      const Tensor qkv = inputs.qkv.clone();
      qkv.slice(0, changed, 1).slice(1, column, 1).fill(value);
      return Result(qkv, Tensor(), inputs.dout, shape, dropout_of(0.0));
    };
    const Result query = with(0, std::nan("")), key = with(kDim, std::nan(""));
    const Result infinite = with(kDim, kInfinity);
    Tensor mask = Tensor::full({1, kTokens}, 1.0, DType::Int32);
    mask.data<std::int32_t>()[changed] = 0;
    const Result hidden(inputs.qkv, mask, inputs.dout, shape, dropout_of(0.0));
    const Matrix first_of_queries = to_matrix(inputs.qkv).col(0);
    for (std::int64_t token = 0; token < kTokens; ++token) {
      SCOPED_TRACE(token);
      const auto row = [token](const Tensor& out) { return out.slice(0, token, 1); };
      const auto is_nan = [&](const Result& result) {
        return to_matrix(row(result.out)).array().isNaN().all() &&
               std::isnan(to_matrix(result.log_sum_exp)(0, token));
      };
      const auto same = [&](const Result& a, const Result& b) {
        return bitwise_equal(row(a.out), row(b.out));
      };
      EXPECT_TRUE(token == changed ? is_nan(query) : same(query, clean));
      EXPECT_TRUE(token >= changed ? is_nan(key) : same(key, clean));
      EXPECT_TRUE(token < changed                    ? same(infinite, clean)
                  : first_of_queries(token, 0) > 0.0 ? is_nan(infinite)
                                                     : same(infinite, hidden));
    }
  }
}

}  // namespace
}  // namespace shardgrad
