// CUDA attention over a cache against attention written out: more and fewer keys than a block of
// threads takes at once, every size of a head, every alignment.
#include "tests/cuda/cuda_testing.h"
#include "tests/support/error_of.h"
#include "tests/tensor/cached_attention_case.h"

namespace shardgrad {
namespace {

using namespace cuda_testing;
using attention_reference::CachedCase;

class CudaCachedAttentionTest : public CudaTest {
 protected:
  void expect_as_written_out(const CachedAttentionShape& shape) const {
    const CachedCase one(shape, dtype());
    EXPECT_LT(reference::relative_difference(one.run(kGpu), one.expected), tolerance())
        << shape.queries << " of " << shape.length << " tokens, head_dim " << shape.head_dim;
  }
};
INSTANTIATE_TEST_SUITE_P(Dtypes, CudaCachedAttentionTest, all_dtypes(), dtype_name);

TEST_P(CudaCachedAttentionTest, EveryLength) {
  for (std::int64_t length : {1, 2, 3, 4, 5, 31, 32, 33, 36, 100}) {
    expect_as_written_out({2, 1, length, length + 1, 2, 16});
    expect_as_written_out({1, std::min<std::int64_t>(length, 5), length, length, 1, 16});
  }
}

TEST_P(CudaCachedAttentionTest, EverySizeOfAHead) {
  for (std::int64_t head_dim : {1, 3, 32, 33, 64, 100, 128, 256}) {
    expect_as_written_out({1, 2, 40, 41, 3, head_dim});
  }
}

TEST_P(CudaCachedAttentionTest, EveryRunGivesTheSameBits) {
  const CachedCase one({2, 3, 70, 70, 2, 40}, dtype());
  const Tensor first = one.run(kGpu);
  for (int run = 0; run < 3; ++run) {
    EXPECT_TRUE(reference::bitwise_equal(one.run(kGpu), first));
  }
}

TEST_P(CudaCachedAttentionTest, Errors) {
  const CachedCase one({1, 1, 1, 1, 1, 257}, dtype());
  EXPECT_EQ(error_of([&] { one.run(kGpu); }),
            "[cached_attention] head_dim is 257; the CUDA kernel takes at most 256");
}

}  // namespace
}  // namespace shardgrad
