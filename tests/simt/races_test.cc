// Barriers that are missing. Random schedules show them in the results; ThreadSanitizer, which sees
// each CUDA thread as a thread, names the kernel and both lines in any schedule.
#include <chrono>
#include <thread>

#include "tests/simt/sanitizer_testing.h"

namespace simt {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr int kThreads = 64;
constexpr int kReverseLine = __LINE__;
__global__ void reverse(int* x, int first) {
  __shared__ int shared[kThreads];
  const int i = static_cast<int>(threadIdx.x), last = static_cast<int>(blockDim.x) - 1;
  shared[i] = first + i;
  __syncthreads();
  x[i] = shared[last - i];
}

constexpr int kReverseWarpLine = __LINE__;
__global__ void reverse_warp(int* x, int first) {
  __shared__ int shared[32];
  const int i = static_cast<int>(threadIdx.x);
  shared[i] = first + i;
  __syncwarp();
  x[i] = shared[31 - i];
}

struct Case {
  const char* name;
  void (*kernel)(int*, int);
  int threads;
  int write_line;  // the barrier comes next, then the read

  void leave_barrier_out() const {
    config().skip_barrier = "simt/races_test.cc:" + std::to_string(write_line + 1);
  }
  /// Whether the result is right. Each call has other numbers: __shared__ variables keep the last.
  bool right() const {
    static int first = 0;
    first += 1000;
    DeviceArray<int> x(static_cast<size_t>(threads));
    launch(name, 1, static_cast<unsigned>(threads), 0, kernel, x.data(), first);
    const std::vector<int> got = x.get();
    for (int i = 0; i < threads; ++i) {
      if (got[static_cast<size_t>(i)] != first + threads - 1 - i) return false;
    }
    return true;
  }
};
const Case kCases[] = {{"reverse", reverse, kThreads, kReverseLine + 4},
                       {"reverse_warp", reverse_warp, 32, kReverseWarpLine + 4}};

class Races : public SimtTest {};

TEST_F(Races, NothingIsMissing) {
  for (const Case& c : kCases) {
    for (const uint64_t seed : {0, 1, 2, 3, 4}) {
      set_seed(seed);
      EXPECT_TRUE(c.right()) << c.name << ", seed " << seed;
    }
  }
}

TEST_F(Races, ABarrierElsewhereIsNotLeftOut) {
  for (const char* place : {"races_test.cc:1", "aces_test.cc:20", "other/races_test.cc:20"}) {
    config().skip_barrier = place;
    EXPECT_TRUE(kCases[0].right()) << place;
  }
}

constexpr int kShuffleLine = __LINE__;
__global__ void rely_on_shuffle(int* x) {
  __shared__ int shared[32];
  const int i = static_cast<int>(threadIdx.x);
  shared[i] = i;
  const int other = __shfl_xor_sync(~0u, i, 1);
  x[i] = shared[other];
}

void run_rely_on_shuffle() {
  DeviceArray<int> x(32);
  launch("rely_on_shuffle", 1, 32, 0, rely_on_shuffle, x.data());
  EXPECT_EQ(x.get()[6], 7);
}

TEST_F(Races, AShuffleBringsAllLanesTogether) {
  config().shuffles_order_memory = true;
  for (const uint64_t seed : {0, 1, 2}) {
    set_seed(seed);
    run_rely_on_shuffle();
  }
}

#if defined(SIMT_TSAN)

using RacesDeathTest = SimtTest;

TEST_F(RacesDeathTest, AShuffleDoesNotOrderMemory) {
  expect_sanitizer_report(run_rely_on_shuffle,
                          AllOf(HasSubstr("simt: kernel rely_on_shuffle, block (0, 0, 0)"),
                                HasSubstr(place(__FILE__, kShuffleLine + 4)),
                                HasSubstr(place(__FILE__, kShuffleLine + 6))));
}

/// Each host thread runs other blocks, and all add to one number.
constexpr int kSumLine = __LINE__;
__global__ void sum_without_atomics(int* sum) {
  if (threadIdx.x != 0) return;
  std::this_thread::sleep_for(std::chrono::milliseconds(1));  // so that both get some
  *sum += 1;
}

TEST_F(RacesDeathTest, MissingBarrierIsReportedWithBothLines) {
  for (const Case& c : kCases) {
    for (const uint64_t seed : {0, 1, 2}) {
      expect_sanitizer_report(
          [&] {
            set_seed(seed);
            c.leave_barrier_out();
            c.right();
          },
          AllOf(HasSubstr("WARNING: ThreadSanitizer: data race"),
                HasSubstr(place(__FILE__, c.write_line)),
                HasSubstr(place(__FILE__, c.write_line + 2)),
                HasSubstr(std::string("simt: kernel ") + c.name + ", block (0, 0, 0), thread ("),
                HasSubstr("found by ThreadSanitizer")));
    }
  }
}

TEST_F(RacesDeathTest, BlocksOnTwoHostThreads) {
  expect_sanitizer_report(
      [] {
        config().threads = 2;
        DeviceArray<int> sum(std::vector<int>{0});
        launch("sum", 64, 32, 0, sum_without_atomics, sum.data());
        cudaDeviceSynchronize();
      },
      AllOf(HasSubstr("data race"), HasSubstr(place(__FILE__, kSumLine + 4)),
            HasSubstr("simt: kernel sum, block (")));
}

#else

TEST_F(Races, MissingBarrierShowsInTheResult) {
  for (const Case& c : kCases) {
    c.leave_barrier_out();
    bool always_right = true;
    for (const uint64_t seed : {0, 1, 2}) {
      set_seed(seed);
      always_right = c.right() && always_right;
    }
    EXPECT_FALSE(always_right) << c.name;
  }
}

#endif

}  // namespace
}  // namespace simt
