#include "tensor/operation_times.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "tensor/kernels/elementwise.h"
#include "tensor/kernels/gemm.h"

namespace shardgrad {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::vector<std::string> names_of(const OperationTimes& times) {
  std::vector<std::string> names;
  for (const OperationCall& call : times.calls()) names.push_back(call.name);
  return names;
}

Tensor zeros(const Shape& shape) { return Tensor::full(shape, 0.0, DType::Float32); }

TEST(OperationTimes, RecordEachCallWithItsTensorsInOrder) {
  Tensor a = zeros({2, 3}), b = zeros({3, 4}), c = zeros({2, 4});
  const OperationTimes times;
  kernels::gemm(a, b, Tensor(), c, false);
  kernels::add(c, c, c);
  EXPECT_THAT(names_of(times), ElementsAre("gemm", "add"));
  const OperationCall& product = times.calls().front();
  ASSERT_EQ(product.operands.size(), 3u) << "an undefined tensor is none";
  EXPECT_EQ(product.operands[0].shape, (Shape{2, 3}));
  EXPECT_EQ(product.operands[1].shape, (Shape{3, 4}));
  EXPECT_EQ(product.operands[2].shape, (Shape{2, 4}));
  EXPECT_EQ(product.operands[2].dtype, DType::Float32);
  EXPECT_GT(product.seconds, 0.0);
}

TEST(OperationTimes, RecordWhatTheirOwnThreadCallsWhileTheyLive) {
  Tensor x = zeros({4});
  kernels::add(x, x, x);
  const OperationTimes times;
  std::thread([&] { kernels::add(x, x, x); }).join();
  EXPECT_THAT(names_of(times), IsEmpty());
  {
    const OperationTimes inner;
    kernels::add(x, x, x);
    EXPECT_THAT(names_of(inner), ElementsAre("add"));
  }
  EXPECT_THAT(names_of(times), IsEmpty()) << "of two, the later one records";
  kernels::add(x, x, x);
  EXPECT_THAT(names_of(times), ElementsAre("add"));
}

TEST(OperationTimes, ACallWithinACallIsPartOfIt) {
  OperationTimes times;
  times.measure("outer", {}, [&] { times.measure("inner", {}, [] {}); });
  EXPECT_THAT(names_of(times), ElementsAre("outer"));
}

TEST(OperationTimes, GoOnAfterACallThatThrows) {
  OperationTimes times;
  EXPECT_THROW(times.measure("bad", {}, [] { fail("bad", "on purpose"); }), Error);
  times.measure("good", {}, [] {});
  EXPECT_THAT(names_of(times), ElementsAre("bad", "good"));
}

}  // namespace
}  // namespace shardgrad
