// Attention over a cache against attention written out.
#include "tensor/kernels/cached_attention.h"

#include "tests/tensor/cached_attention_case.h"
#include "tests/tensor/kernel_testing.h"

namespace shardgrad {
namespace {

using namespace kernel_testing;
using attention_reference::CachedCase;
using ::testing::HasSubstr;

class CachedAttentionTest : public FloatingTest {};
INSTANTIATE_TEST_SUITE_P(Dtypes, CachedAttentionTest, floating_dtypes(), dtype_name);

TEST_P(CachedAttentionTest, TheNewestTokensOfASequence) {
  for (std::int64_t length : {1, 2, 63, 64, 65, 200}) {
    for (std::int64_t queries : {1, 2, 64, 131, 200}) {
      if (queries > length) continue;
      for (std::int64_t head_dim : {1, 40}) {
        const CachedCase one({2, queries, length, length + 3, 3, head_dim}, dtype());
        EXPECT_LT(reference::relative_difference(one.run({}), one.expected), tolerance())
            << queries << " of " << length << " tokens, head_dim " << head_dim;
      }
    }
  }
}

TEST_P(CachedAttentionTest, AFullCacheAndLargeScores) {
  const CachedCase full({1, 3, 90, 90, 2, 16}, dtype());
  EXPECT_LT(reference::relative_difference(full.run({}), full.expected), tolerance());
  // Scores of tens of thousands, each with a rounding of as many epsilons.
  const CachedCase large({1, 3, 90, 90, 2, 16}, dtype(), /*scale=*/100.0);
  EXPECT_LT(reference::relative_difference(large.run({}), large.expected),
            std::max(tolerance(), dtype() == DType::Float64 ? 1e-11 : 2e-3));
}

TEST_P(CachedAttentionTest, TheNumberOfThreadsDoesNotChangeABit) {
  const CachedCase one({2, 70, 300, 310, 3, 16}, dtype());
  Tensor alone;
  {
    const IntraOpThreads threads(1);
    alone = one.run({});
  }
  const IntraOpThreads threads(3);
  EXPECT_TRUE(reference::bitwise_equal(one.run({}), alone));
}

TEST_P(CachedAttentionTest, Errors) {
  const CachedCase one({1, 2, 5, 8, 1, 4}, dtype());
  Tensor out = Tensor::empty({2, 4}, dtype());
  const auto error = [&](const CachedAttentionShape& shape) {
    return error_of([&] { kernels::cached_attention(one.qkv, one.cache, shape, out); });
  };
  EXPECT_EQ(error(one.shape), "");
  EXPECT_EQ(error({1, 2, 9, 8, 1, 4}),
            "[cached_attention] 2 queries of 9 tokens in a cache for 8; expected queries <= tokens "
            "<= capacity");
  EXPECT_THAT(error({1, 2, 1, 8, 1, 4}), HasSubstr("2 queries of 1 tokens"));
  EXPECT_THAT(error({1, 2, 5, 7, 1, 4}),
              HasSubstr("cache has shape [1, 8, 8]; expected [1, 7, 8]"));
}

}  // namespace
}  // namespace shardgrad
