// Random schedules: they find missing barriers, and a seed repeats a run.
#include <algorithm>
#include <functional>
#include <thread>

#include "tests/simt/sanitizer_testing.h"

namespace simt {
namespace {

using ::testing::Each;
using Schedules = SimtTest;

constexpr unsigned kThreads = 256;
constexpr int kMissingNone = -1;

/// The sum of a block's values by a tree in shared memory, several times over. `missing` is the
/// barrier that is left out.
__global__ void tree_sum(float* sums, const float* x, int rounds, int missing) {
  __shared__ float shared[kThreads];
  for (int round = 0; round < rounds; ++round) {
    shared[threadIdx.x] = x[(blockIdx.x * kThreads + threadIdx.x)] + static_cast<float>(round);
    if (missing != 0) __syncthreads();
    for (unsigned half = kThreads / 2; half > 0; half /= 2) {
      if (threadIdx.x < half) shared[threadIdx.x] += shared[threadIdx.x + half];
      if (missing != 1) __syncthreads();
    }
    if (threadIdx.x == kThreads - 1)
      sums[static_cast<int>(blockIdx.x) * rounds + round] = shared[0];
    if (missing != 2) __syncthreads();
  }
}

class MissingBarrier : public SimtTest {
 protected:
  static constexpr int kBlocks = 4, kRounds = 3;

  /// Whether all sums are right.
  static bool right(uint64_t seed, int missing) {
    std::vector<float> x(kBlocks * kThreads);
    for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i % 17);
    std::vector<float> want;
    for (size_t block = 0; block < kBlocks; ++block) {
      for (int round = 0; round < kRounds; ++round) {
        float sum = 0;
        for (size_t i = 0; i < kThreads; ++i) {
          sum += x[block * kThreads + i] + static_cast<float>(round);
        }
        want.push_back(sum);
      }
    }
    set_seed(seed);
    DeviceArray<float> from(x), sums(want.size());
    launch("tree_sum", kBlocks, kThreads, 0, tree_sum, sums.data(), from.data(), kRounds, missing);
    return sums.get() == want;
  }
};

TEST_F(MissingBarrier, NoneIsMissing) {
  for (uint64_t seed = 0; seed < 20; ++seed) EXPECT_TRUE(right(seed, kMissingNone)) << seed;
}

TEST_F(MissingBarrier, IsFoundBySeeds1And2) {
  for (const int missing : {0, 1, 2}) {
    if (kThreadSanitizer) {
      expect_sanitizer_report([missing] { right(1, missing); },
                              ::testing::HasSubstr("simt: kernel tree_sum, block ("));
    } else {
      EXPECT_FALSE(right(1, missing) && right(2, missing)) << "barrier " << missing;
    }
  }
}

/// Each thread takes a ticket: who came how-manieth is the schedule.
__global__ void take_tickets(int* counter, int* tickets) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  for (int round = 0; round < 3; ++round) {
    tickets[i] = atomicAdd(counter, 1);
    __syncwarp();
  }
}

std::vector<int> tickets(unsigned blocks) {
  DeviceArray<int> counter(std::vector<int>{0}), taken(blocks * 64);
  launch("tickets", blocks, 64, 0, take_tickets, counter.data(), taken.data());
  return taken.get();
}

TEST_F(Schedules, SeedRepeatsARunAndAnotherDoesNot) {
  config().threads = 1;  // the blocks of one launch come in order, too
  std::vector<std::vector<int>> seen;
  for (const uint64_t seed : {1, 2, 3, 4}) {
    set_seed(seed);
    const auto first = tickets(5), second = tickets(5);
    EXPECT_NE(first, second) << "two launches have two schedules";
    set_seed(seed);
    EXPECT_EQ(tickets(5), first);
    EXPECT_EQ(tickets(5), second);
    EXPECT_EQ(std::count(seen.begin(), seen.end(), first), 0);
    seen.push_back(first);
  }
}

TEST_F(Schedules, OfABlockDoesNotDependOnTheNumberOfHostThreads) {
  std::vector<int> one;
  for (const int threads : {1, 2, 4}) {
    config().threads = threads;
    set_seed(7);
    const std::vector<int> got = tickets(1);
    if (one.empty()) one = got;
    EXPECT_EQ(got, one);
  }
}

TEST_F(Schedules, InOrderRunsWarpsOneAfterTheOther) {
  const std::vector<int> got = tickets(1);
  EXPECT_LT(*std::max_element(got.begin(), got.begin() + 32),
            *std::min_element(got.begin() + 32, got.end()));
}

__global__ void sum_rows(float* sums, const float* x, int columns) {
  __shared__ float partial[4];
  float sum = 0;
  const float* row = x + static_cast<size_t>(blockIdx.x) * static_cast<size_t>(columns);
  for (int i = static_cast<int>(threadIdx.x); i < columns; i += static_cast<int>(blockDim.x)) {
    sum += row[i];
  }
  for (int lanes = 16; lanes > 0; lanes /= 2) sum += __shfl_xor_sync(~0u, sum, lanes);
  if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = sum;
  __syncthreads();
  if (threadIdx.x == 0) sums[blockIdx.x] = partial[0] + partial[1] + partial[2] + partial[3];
}

TEST_F(Schedules, HostThreadsLaunchAtOnce) {
  for (const uint64_t seed : {0, 1, 2}) {
    set_seed(seed);
    std::vector<std::thread> threads;
    for (int rank = 0; rank < 6; ++rank) {
      threads.emplace_back([rank] {
        cudaSetDevice(rank % 2);
        DeviceArray<float> x(std::vector<float>(200 * 300, static_cast<float>(rank + 1))),
            sums(200);
        for (int repeat = 0; repeat < 5; ++repeat) {
          launch_into(cudaStreamPerThread, "sum_rows", 200, 128, 0, sum_rows, sums.data(), x.data(),
                      300);
          cudaStreamSynchronize(cudaStreamPerThread);
          ASSERT_THAT(sums.get(), Each(300.0f * static_cast<float>(rank + 1)));
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
}

__global__ void write_places(int* x) {
  const unsigned block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
  const unsigned thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
  x[block * blockDim.x * blockDim.y * blockDim.z + thread] =
      static_cast<int>(block * 1000 + thread);
}

TEST_F(Schedules, ThreeDimensionsEachRunOnce) {
  for (const uint64_t seed : {0, 1, 2}) {
    set_seed(seed);
    DeviceArray<int> x(2 * 3 * 4 * 5 * 6 * 7);
    launch("places", dim3(2, 3, 4), dim3(5, 6, 7), 0, write_places, x.data());
    const std::vector<int> got = x.get();
    for (int i = 0; i < static_cast<int>(got.size()); ++i) {
      ASSERT_EQ(got[static_cast<size_t>(i)], i / 210 * 1000 + i % 210);
    }
  }
}

}  // namespace
}  // namespace simt
