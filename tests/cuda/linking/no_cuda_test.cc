// A program that was linked without any CUDA.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "parallel/launch.h"
#include "tests/support/error_of.h"

namespace shardgrad {
namespace {

TEST(WithoutCuda, RanksOnGpusAreAnError) {
  for (CommunicatorBackend backend :
       {CommunicatorBackend::Auto, CommunicatorBackend::Thread, CommunicatorBackend::Nccl}) {
    RunOptions options;
    options.devices = {{DeviceType::Cuda, 0}, {DeviceType::Cuda, 1}};
    options.backend = backend;
    EXPECT_THAT(error_of([&] { run_ranks(options, [](Communicator&) {}); }),
                ::testing::HasSubstr("this program was built without the CUDA toolkit"));
  }
}

}  // namespace
}  // namespace shardgrad
