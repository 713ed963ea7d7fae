// A program with CUDA kernels that was linked without NCCL.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "parallel/launch.h"
#include "tests/support/error_of.h"

namespace shardgrad {
namespace {

using ::testing::HasSubstr;

TEST(WithoutNccl, AskingForItIsAnError) {
  RunOptions options;
  options.devices = {{DeviceType::Cuda, 0}, {DeviceType::Cuda, 1}};
  options.backend = CommunicatorBackend::Nccl;
  EXPECT_THAT(error_of([&] { run_ranks(options, [](Communicator&) {}); }),
              HasSubstr("this program was built without NCCL"));
}

TEST(WithoutNccl, ThreadsTakeItsPlace) {
  RunOptions options;
  options.devices = {{DeviceType::Cuda, 0}, {DeviceType::Cuda, 1}};
  EXPECT_EQ(choose_backend(options.devices, CommunicatorBackend::Auto),
            CommunicatorBackend::Thread);
  run_ranks(options, [&](Communicator& group) {
    Tensor x = Tensor::full({3}, 1.0, DType::Float32, options.devices[group.rank()]);
    group.all_reduce(x);
    EXPECT_EQ(x.to_vector<float>()[2], 2.0f);
  });
}

}  // namespace
}  // namespace shardgrad
