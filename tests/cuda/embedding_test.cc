#include "tensor/kernels/embedding.h"

#include "tests/cuda/cuda_testing.h"

namespace shardgrad {
namespace {

using namespace cuda_testing;
using reference::random_ids;

class CudaEmbeddingTest : public CudaTest {};
INSTANTIATE_TEST_SUITE_P(Dtypes, CudaEmbeddingTest, all_dtypes(), dtype_name);

struct Case {
  std::int64_t tokens, vocabulary, first_row, rows, columns;
};

// The whole table and a shard of it; many tokens for one row; more rows than the scan has threads;
// columns that fill packs and that do not.
const Case kCases[] = {{1, 1, 0, 1, 1},   {300, 50, 0, 50, 64},    {300, 50, 20, 17, 33},
                       {700, 3, 0, 3, 5}, {9, 50257, 0, 50257, 8}, {64, 50257, 25000, 25257, 24}};

TEST_P(CudaEmbeddingTest, ForwardIsACopy) {
  for (const Case& c : kCases) {
    const Tensor ids = random_ids({c.tokens}, 0, static_cast<std::int32_t>(c.vocabulary), 1);
    const Input table = random_input({c.rows, c.columns}, dtype(), 2);
    Tensor out = device_output({c.tokens, c.columns}, dtype());
    Tensor expected = Tensor::empty({c.tokens, c.columns}, reference_dtype());
    kernels::embedding_forward(ids.to(kGpu), table.device, c.first_row, out);
    kernels::embedding_forward(ids, table.host, c.first_row, expected);
    EXPECT_TRUE(same_bits(out, expected)) << c.tokens << " tokens, " << c.rows << " rows";
  }
}

// In the order of the tokens, so with the CPU's bits.
TEST_P(CudaEmbeddingTest, BackwardAddsInTheOrderOfTheTokens) {
  for (const Case& c : kCases) {
    const Tensor ids = random_ids({c.tokens}, 0, static_cast<std::int32_t>(c.vocabulary), 1);
    const Input dy = random_input({c.tokens, c.columns}, dtype(), 2);
    const Input before = random_input({c.rows, c.columns}, dtype(), 3);
    Tensor expected = before.host.clone();
    kernels::embedding_backward(ids, dy.host, c.first_row, expected);
    Tensor wide = before.device.to(accumulator()).clone();
    kernels::embedding_backward(ids.to(kGpu), dy.device, c.first_row, wide);
    EXPECT_TRUE(same_bits(wide, expected)) << c.tokens << " tokens, " << c.rows << " rows";
    Tensor out = before.device.clone();
    kernels::embedding_backward(ids.to(kGpu), dy.device, c.first_row, out);
    EXPECT_TRUE(same_bits(out, expected)) << c.tokens << " tokens, " << c.rows << " rows";
  }
}

// The model has checked them; here they only must not be read or written with.
TEST_P(CudaEmbeddingTest, IdsOutsideOfTheTableAreNotInThisSlice) {
  const Tensor ids = Tensor::from(std::vector<std::int32_t>{-1, 1000000, 2}, {3}).to(kGpu);
  const Input table = random_input({4, 8}, dtype(), 2);
  Tensor out = device_output({3, 8}, dtype());
  kernels::embedding_forward(ids, table.device, 0, out);
  EXPECT_TRUE(same_bits(out.slice(0, 0, 2).contiguous(), Tensor::zeros({2, 8}, dtype())));
  EXPECT_TRUE(same_bits(out.slice(0, 2, 1).contiguous(), table.host.slice(0, 2, 1).contiguous()));
  Tensor dtable = Tensor::zeros({4, 8}, accumulator(), kGpu);
  kernels::embedding_backward(ids, out, 0, dtable);
  EXPECT_TRUE(
      same_bits(dtable.slice(0, 2, 1).contiguous(), table.host.slice(0, 2, 1).contiguous()));
  EXPECT_TRUE(same_bits(dtable.slice(0, 0, 2).contiguous(), Tensor::zeros({2, 8}, accumulator())));
}

}  // namespace
}  // namespace shardgrad
