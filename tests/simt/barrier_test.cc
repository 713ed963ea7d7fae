// Barriers: what they do, and what is reported when threads disagree about them.
#include "tests/simt/simt_testing.h"

namespace simt {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::HasSubstr;
using Barrier = SimtTest;

constexpr int kLine = __LINE__;
__global__ void two_barriers(int* x) {
  if (threadIdx.x < 32) {
    __syncthreads();
  } else {
    __syncthreads();
  }
  x[threadIdx.x] = 1;
}

TEST_F(Barrier, DivergenceIsReportedWithBothLines) {
  DeviceArray<int> x(64);
  launch("diverge", 1, 64, 0, two_barriers, x.data());
  const std::string file = __FILE__;
  EXPECT_THAT(take_report(), AllOf(HasSubstr("kernel diverge, block (0, 0, 0), thread (32, 0, 0)"),
                                   HasSubstr("divergent __syncthreads: 32 threads wait at " + file +
                                             ":" + std::to_string(kLine + 3) + ", this one is at " +
                                             file + ":" + std::to_string(kLine + 5))));
}

__global__ void leave_early(int* x, int keep) {
  if (static_cast<int>(threadIdx.x) >= keep) return;
  __syncthreads();
  x[threadIdx.x] = 1;
}

TEST_F(Barrier, ExitBeforeABarrierIsReported) {
  for (const uint64_t seed : {0, 1, 2}) {
    set_seed(seed);
    DeviceArray<int> x(64);
    launch("leave", 1, 64, 0, leave_early, x.data(), 40);
    EXPECT_THAT(take_report(), AllOf(HasSubstr("kernel leave, block (0, 0, 0)"),
                                     HasSubstr("barrier_test.cc"), HasSubstr("exit")));
  }
}

__global__ void wait_for_a_missing_lane(int* x) {
  if (threadIdx.x != 5) __syncwarp();
  x[threadIdx.x] = 1;
}

TEST_F(Barrier, LaneThatMissesAWarpOperationIsReported) {
  DeviceArray<int> x(32);
  launch("missing_lane", 1, 32, 0, wait_for_a_missing_lane, x.data());
  EXPECT_THAT(take_report(),
              AllOf(HasSubstr("kernel missing_lane"), HasSubstr("lane 5 exits while")));
}

__global__ void cross_wait(int* x) {
  if (threadIdx.x < 16) {
    __syncwarp();
  } else {
    __syncthreads();
  }
  x[threadIdx.x] = 1;
}

TEST_F(Barrier, DeadlockListsWhoWaitsWhere) {
  DeviceArray<int> x(32);
  launch("deadlock", 1, 32, 0, cross_wait, x.data());
  EXPECT_THAT(take_report(),
              AllOf(HasSubstr("kernel deadlock"), HasSubstr("32 of 32 threads wait for ever"),
                    HasSubstr("16 threads in")));
}

__global__ void mask_without_itself(int* x) {
  __syncwarp(0xFFFF);
  x[threadIdx.x] = 1;
}

TEST_F(Barrier, MaskThatLeavesTheCallerOutIsReported) {
  DeviceArray<int> x(32);
  launch("mask", 1, 32, 0, mask_without_itself, x.data());
  EXPECT_THAT(take_report(), AllOf(HasSubstr("kernel mask"), HasSubstr("leaves it out")));
}

__global__ void trap(int* x) {
  if (threadIdx.x == 3) __trap();
  x[threadIdx.x] = 1;
}

TEST_F(Barrier, TrapEndsTheLaunch) {
  DeviceArray<int> x(32);
  launch("trapped", 1, 32, 0, trap, x.data());
  EXPECT_THAT(take_report(),
              HasSubstr("kernel trapped, block (0, 0, 0), thread (3, 0, 0): __trap()"));
}

/// Each round every thread writes its value and reads that of another warp's.
__global__ void rotate(int* x, int rounds) {
  __shared__ int shared[96];
  int value = static_cast<int>(threadIdx.x);
  for (int round = 0; round < rounds; ++round) {
    shared[threadIdx.x] = value;
    __syncthreads();
    value = shared[(threadIdx.x + 37) % 96];
    __syncthreads();
  }
  x[blockIdx.x * 96 + threadIdx.x] = value;
}

TEST_F(Barrier, OrdersSharedMemory) {
  for (const uint64_t seed : {0, 1, 2, 3, 4}) {
    set_seed(seed);
    DeviceArray<int> x(5 * 96);
    launch("rotate", 5, 96, 0, rotate, x.data(), 10);
    const std::vector<int> values = x.get();
    for (int i = 0; i < 5 * 96; ++i) ASSERT_EQ(values[static_cast<size_t>(i)], (i % 96 + 370) % 96);
  }
}

__global__ void count(int* x) {
  const int i = static_cast<int>(threadIdx.x);
  const int odd = __syncthreads_count(i % 2);
  const int all = __syncthreads_and(i >= 0);
  const int not_all = __syncthreads_and(i != 70);
  const int any = __syncthreads_or(i == 70);
  const int none = __syncthreads_or(i < 0);
  x[i] = odd == 50 && all != 0 && not_all == 0 && any != 0 && none == 0;
}

TEST_F(Barrier, CountAndAndOr) {
  DeviceArray<int> x(100);  // the last warp is not full
  launch("count", 1, 100, 0, count, x.data());
  EXPECT_THAT(x.get(), Each(1));
}

}  // namespace
}  // namespace simt
