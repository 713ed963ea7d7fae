// The costs in a profile against the arithmetic of the model, counted on paper.
#include "tools/operation_costs.h"

#include <gtest/gtest.h>

#include "tensor/kernels/adamw.h"
#include "tools/bench_run.h"

namespace shardgrad {
namespace {

BenchCase small_case(int tensor_parallel) {
  BenchCase task;
  task.name = "small";
  task.model = gpt_preset("nano");
  task.model.n_layers = 3;
  task.model.vocab_size = 256;  // divides without padding
  task.model.tie_embeddings = false;
  task.batch_size = 2;
  task.seq_len = 16;
  task.layout.tensor_parallel = tensor_parallel;
  task.device.device = "cpu";
  return task;
}

const OperationSummary& find(const std::vector<OperationSummary>& operations,
                             const std::string& name) {
  for (const OperationSummary& operation : operations) {
    if (operation.name == name) return operation;
  }
  fail("find", "there is no {}", name);
}

// Of one rank of `tensor_parallel`: weights count once forward and twice backward, 2 operations for
// each weight and token.
double product_flops(const BenchCase& task) {
  const double d = static_cast<double>(task.model.d_model);
  const double in_blocks = static_cast<double>(task.model.n_layers) * 12.0 * d * d;
  const double head = static_cast<double>(task.model.vocab_size) * d;
  return 6.0 * (in_blocks + head) * static_cast<double>(task.batch_size * task.seq_len) /
         task.layout.tensor_parallel;
}

// `products` of each query with each key up to it, Dh multiplications and additions, on every head.
double attention_flops(const BenchCase& task, double products) {
  const double tokens = static_cast<double>(task.seq_len);
  const double pairs = tokens * (tokens + 1.0) / 2.0;
  return products * 2.0 * static_cast<double>(task.model.n_layers * task.batch_size) * pairs *
         static_cast<double>(task.model.d_model) / task.layout.tensor_parallel;
}

class OperationCosts : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(TensorParallel, OperationCosts, ::testing::Values(1, 2),
                         ::testing::PrintToStringParamName());

TEST_P(OperationCosts, OfAStepAreTheArithmeticOfTheModel) {
  BenchCase task = small_case(GetParam());
  Processes processes;
  const BenchResult result = run_bench(task, {1, 3}, processes);
  const std::vector<OperationSummary> operations = by_name(result.operations);
  double products = 0.0;
  for (const OperationSummary& operation : operations) {
    if (operation.name.rfind("gemm", 0) == 0) products += operation.cost.flops;
  }
  EXPECT_DOUBLE_EQ(products, product_flops(task));
  EXPECT_DOUBLE_EQ(find(operations, "attention_forward").cost.flops, attention_flops(task, 2.0));
  EXPECT_DOUBLE_EQ(find(operations, "attention_backward").cost.flops, attention_flops(task, 5.0));
  EXPECT_EQ(find(operations, "attention_forward").calls, task.model.n_layers);
}

TEST_P(OperationCosts, OfAdamWAre28BytesAParameterInFloat32) {
  BenchCase task = small_case(GetParam());
  Processes processes;
  const BenchResult result = run_bench(task, {0, 1}, processes);
  // The flat buffer of a rank has gaps, and what every rank has a copy of.
  const double own = static_cast<double>(result.parameters) / GetParam();
  const double bytes = find(result.operations, "adamw").cost.bytes;
  EXPECT_GE(bytes, 28.0 * own);
  EXPECT_LE(bytes, 28.0 * own * 1.1);
}

TEST(OperationCosts, TimesOfASecondLookAreMediansOfTheSteps) {
  std::vector<std::vector<OperationSummary>> steps;
  for (const double seconds : {3.0, 1.0, 2.0}) {
    OperationSummary operation;
    operation.name = "gemm";
    operation.seconds = seconds;
    steps.push_back({operation});
  }
  EXPECT_EQ(median_step(steps).front().seconds, 2.0);
}

TEST(OperationCosts, AddUpByNameTheLongestFirst) {
  std::vector<OperationSummary> operations(3);
  operations[0] = {"add", "", 1, 2.0, {0.0, 4.0}};
  operations[1] = {"gemm", "1 x 2 x 3", 2, 1.5, {12.0, 1.0}};
  operations[2] = {"gemm", "4 x 5 x 6", 3, 1.5, {240.0, 2.0}};
  const std::vector<OperationSummary> names = by_name(operations);
  ASSERT_EQ(names.size(), 2u);
  EXPECT_EQ(names[0].name, "gemm");
  EXPECT_EQ(names[0].calls, 5);
  EXPECT_EQ(names[0].seconds, 3.0);
  EXPECT_EQ(names[0].cost.flops, 252.0);
  EXPECT_EQ(names[1].name, "add");
}

}  // namespace
}  // namespace shardgrad
