// Which communicator ranks get on which devices, and what they are told when there is none.
#include "parallel/communicator_backend.h"

#include <cuda_runtime.h>

#include "tests/cuda/communicator_testing.h"
#include "tests/support/error_of.h"

namespace shardgrad {
namespace {

using namespace cuda_testing;
using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr CommunicatorBackend kAuto = CommunicatorBackend::Auto;
constexpr CommunicatorBackend kThread = CommunicatorBackend::Thread;
constexpr CommunicatorBackend kNccl = CommunicatorBackend::Nccl;

TEST(CommunicatorBackend, AutoTakesNcclWhenEachRankHasAGpu) {
  EXPECT_EQ(choose_backend(on_devices(2, 2), kAuto), kNccl);
  EXPECT_EQ(choose_backend(on_devices(2, 1), kAuto), kThread);
  EXPECT_EQ(choose_backend(on_devices(3, 2), kAuto), kThread);
  EXPECT_EQ(choose_backend(on_devices(1, 1), kAuto), kThread) << "nothing to communicate";
  EXPECT_EQ(choose_backend(std::vector<Device>(2), kAuto), kThread);
}

TEST(CommunicatorBackend, WhatIsAskedForIsTakenOrRefused) {
  EXPECT_EQ(choose_backend(on_devices(2, 2), kThread), kThread);
  EXPECT_EQ(choose_backend(on_devices(2, 2), kNccl), kNccl);
  EXPECT_THAT(error_of([] { choose_backend(on_devices(2, 1), kNccl); }),
              AllOf(HasSubstr("ranks 0 and 1 are both on cuda:0"), HasSubstr("choose thread")));
  EXPECT_THAT(error_of([] { choose_backend(std::vector<Device>(2), kNccl); }),
              HasSubstr("the ranks are not on CUDA devices"));
}

TEST(CommunicatorBackend, ImpossibleDevicesAreErrors) {
  EXPECT_THAT(error_of([] { choose_backend({}, kAuto); }), HasSubstr("there are no ranks"));
  EXPECT_THAT(error_of([] {
                choose_backend({Device{}, kGpu}, kAuto);
              }),
              HasSubstr("some ranks are on the cpu and some on CUDA devices"));
  const int devices = simt::config().devices;
  EXPECT_THAT(error_of([&] { choose_backend(on_devices(devices + 1, devices + 1), kAuto); }),
              HasSubstr("there is no cuda:" + std::to_string(devices)));
  simt::config().devices = 0;
  EXPECT_THAT(error_of([] { choose_backend(on_devices(2, 2), kAuto); }),
              HasSubstr("no GPU can be used"));
  simt::config().devices = devices;
}

TEST(CommunicatorBackend, RanksUseTheirDevices) {
  for (const Placement& placement : {on_devices(1, 1), on_devices(2, 1), on_devices(2, 2)}) {
    RunOptions options;
    options.devices = placement;
    run_ranks(options, [&](Communicator& group) {
      int current = -1;
      cudaGetDevice(&current);
      EXPECT_EQ(current, placement[group.rank()].index);
      Tensor x = Tensor::full({3}, 1.0, DType::Float32, placement[group.rank()]);
      group.all_reduce(x);
      EXPECT_EQ(x.to_vector<float>()[2], static_cast<float>(group.world_size()));
    });
  }
}

TEST(CommunicatorBackend, MemoryOfFinishedRanksServesTheNext) {
  CachingAllocator& allocator = allocator_for(kGpu);
  RunOptions options;
  options.devices = on_devices(2, 1);
  const auto run = [&] {
    run_ranks(options, [](Communicator& group) {
      Tensor x = Tensor::full({1000}, 1.0, DType::Float32, kGpu);
      group.all_reduce(x);
    });
    return allocator.stats();
  };
  const AllocatorStats first = run();
  const AllocatorStats second = run();
  EXPECT_EQ(second.system_allocations, first.system_allocations);
  EXPECT_EQ(second.bytes_in_use, 0);
}

}  // namespace
}  // namespace shardgrad
