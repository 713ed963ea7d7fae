// Shuffles, votes, reductions and atomics.
#include <algorithm>

#include "tests/simt/simt_testing.h"

namespace simt {
namespace {

using ::testing::Each;
using Warp = SimtTest;

constexpr unsigned kAll = ~0u;

/// Runs the body once in each order, on as many threads as `out` has elements, and compares.
template <class T, class Expected>
void check(const char* name, void (*kernel)(T*), unsigned threads, Expected expected) {
  for (const uint64_t seed : {0, 1, 2}) {
    set_seed(seed);
    DeviceArray<T> out(threads);
    launch(name, 1, threads, 0, kernel, out.data());
    const std::vector<T> values = out.get();
    for (unsigned i = 0; i < threads; ++i) {
      ASSERT_EQ(values[i], static_cast<T>(expected(static_cast<int>(i)))) << name << ", " << i;
    }
  }
}

__device__ int me() { return static_cast<int>(threadIdx.x); }

TEST_F(Warp, Shuffle) {
  check<int>(
      "shuffle", +[](int* out) { out[me()] = __shfl_sync(kAll, me(), 7); }, 64,
      [](int i) { return i / 32 * 32 + 7; });
  check<int>(
      "rotate", +[](int* out) { out[me()] = __shfl_sync(kAll, me(), me() + 1, 8); }, 64,
      [](int i) { return i / 8 * 8 + (i + 1) % 8; });
}

TEST_F(Warp, ShuffleXor) {
  check<double>(
      "butterfly",
      +[](double* out) {
        double sum = me();
        for (int lanes = 16; lanes > 0; lanes /= 2) sum += __shfl_xor_sync(kAll, sum, lanes);
        out[me()] = sum;
      },
      96, [](int i) { return i / 32 * 32 * 32 + 496; });
}

TEST_F(Warp, ShuffleUpAndDownKeepTheirOwnAtTheEdge) {
  check<int>(
      "down", +[](int* out) { out[me()] = __shfl_down_sync(kAll, me(), 3); }, 32,
      [](int i) { return i + 3 < 32 ? i + 3 : i; });
  check<int>(
      "up", +[](int* out) { out[me()] = __shfl_up_sync(kAll, me(), 3, 16); }, 32,
      [](int i) { return i % 16 >= 3 ? i - 3 : i; });
}

TEST_F(Warp, ShuffleOfFourBytesAndOfEight) {
  check<long long>(
      "wide", +[](long long* out) { out[me()] = __shfl_sync(kAll, 1ll << (me() + 8), 31); }, 32,
      [](int) { return 1ll << 39; });
  check<float>(
      "floats",
      +[](float* out) { out[me()] = __shfl_sync(kAll, 0.5f * static_cast<float>(me()), 5); }, 32,
      [](int) { return 2.5; });
}

TEST_F(Warp, MasksOfPartOfAWarp) {
  check<int>(
      "halves",
      +[](int* out) {
        if (me() < 16) {
          out[me()] = __shfl_sync(0xFFFF, me(), 3);
        } else {
          out[me()] = __shfl_sync(0xFFFF0000, 10 * me(), 20);
        }
      },
      32, [](int i) { return i < 16 ? 3 : 200; });
}

TEST_F(Warp, LastWarpThatIsNotFull) {
  check<int>(
      "partial", +[](int* out) { out[me()] = __reduce_add_sync(kAll, 1); }, 40,
      [](int i) { return i < 32 ? 32 : 8; });
}

TEST_F(Warp, Votes) {
  check<unsigned>(
      "ballot", +[](unsigned* out) { out[me()] = __ballot_sync(kAll, me() % 3 == 0); }, 32,
      [](int) { return 0x49249249u; });
  check<int>(
      "any_all",
      +[](int* out) {
        out[me()] = (__any_sync(kAll, me() == 9) != 0) + 2 * (__any_sync(kAll, me() < 0) != 0) +
                    4 * (__all_sync(kAll, me() >= 0) != 0) + 8 * (__all_sync(kAll, me() != 9) != 0);
      },
      32, [](int) { return 5; });
  check<unsigned>(
      "active",
      +[](unsigned* out) {
        out[me()] = __activemask();
        __syncwarp();  // else the first lane may have ended when the second asks
      },
      40, [](int i) { return i < 32 ? ~0u : 0xFFu; });
}

TEST_F(Warp, Reductions) {
  check<int>(
      "sum", +[](int* out) { out[me()] = __reduce_add_sync(kAll, me() - 16); }, 32,
      [](int) { return -16; });
  check<int>(
      "min", +[](int* out) { out[me()] = __reduce_min_sync(kAll, 5 - me()); }, 32,
      [](int) { return -26; });
  check<int>(
      "max", +[](int* out) { out[me()] = __reduce_max_sync(kAll, 5 - me()); }, 32,
      [](int) { return 5; });
  check<unsigned>(
      "or", +[](unsigned* out) { out[me()] = __reduce_or_sync(kAll, 1u << (me() & 7)); }, 32,
      [](int) { return 0xFFu; });
  check<unsigned>(
      "and", +[](unsigned* out) { out[me()] = __reduce_and_sync(kAll, ~(1u << (me() & 7))); }, 32,
      [](int) { return ~0xFFu; });
}

// --- Atomics -----------------------------------------------------------------------------------

struct Totals {
  int sum, minimum, maximum, bits_or, bits_and, bits_xor;
  unsigned incremented;
  float float_sum;
  double double_sum;
  unsigned long long wide_sum;
  int tickets;
};

__global__ void add_up(Totals* totals, int* taken) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  atomicAdd(&totals->sum, i);
  atomicMin(&totals->minimum, 1000 - i);
  atomicMax(&totals->maximum, i);
  atomicOr(&totals->bits_or, 1 << i % 20);
  atomicAnd(&totals->bits_and, ~(1 << i % 20));
  atomicXor(&totals->bits_xor, i);
  atomicInc(&totals->incremented, 9);
  atomicAdd(&totals->float_sum, 0.5f);
  atomicAdd(&totals->double_sum, 0.25);
  atomicAdd(&totals->wide_sum, 1ull << 33);
  const int ticket = atomicAdd(&totals->tickets, 1);
  taken[ticket] = 1;
}

TEST_F(Warp, AtomicsOfAllBlocks) {
  constexpr int kBlocks = 40, kThreads = 100, kTotal = kBlocks * kThreads;
  for (const uint64_t seed : {0, 1, 2}) {
    set_seed(seed);
    Totals start = {};
    start.minimum = 1000;
    start.bits_and = -1;
    DeviceArray<Totals> totals({start});
    DeviceArray<int> taken(std::vector<int>(kTotal, 0));
    launch("atomics", kBlocks, kThreads, 0, add_up, totals.data(), taken.data());
    const Totals got = totals.get()[0];
    EXPECT_EQ(got.sum, kTotal * (kTotal - 1) / 2);
    EXPECT_EQ(got.minimum, 1000 - kTotal + 1);
    EXPECT_EQ(got.maximum, kTotal - 1);
    EXPECT_EQ(got.bits_or, 0xFFFFF);
    EXPECT_EQ(got.bits_and, ~0xFFFFF);
    EXPECT_EQ(got.bits_xor, 0);      // of 0 to 4 n - 1
    EXPECT_EQ(got.incremented, 0u);  // 4000 steps round a circle of ten
    EXPECT_EQ(got.float_sum, 0.5f * kTotal);
    EXPECT_EQ(got.double_sum, 0.25 * kTotal);
    EXPECT_EQ(got.wide_sum, static_cast<unsigned long long>(kTotal) << 33);
    EXPECT_EQ(got.tickets, kTotal);
    EXPECT_THAT(taken.get(), Each(1));
  }
}

__global__ void lock_free_maximum(unsigned long long* x) {
  const unsigned long long mine = (threadIdx.x * 7919u) % 1009;
  unsigned long long seen = atomicAdd(x, 0);
  while (seen < mine) {
    const unsigned long long before = atomicCAS(x, seen, mine);
    if (before == seen) break;
    seen = before;
  }
}

TEST_F(Warp, CompareAndSwap) {
  unsigned long long most = 0;
  for (unsigned i = 0; i < 256; ++i) most = std::max<unsigned long long>(most, (i * 7919u) % 1009);
  for (const uint64_t seed : {0, 1, 2}) {
    set_seed(seed);
    DeviceArray<unsigned long long> x(std::vector<unsigned long long>{0});
    launch("maximum", 1, 256, 0, lock_free_maximum, x.data());
    EXPECT_EQ(x.get()[0], most);
  }
}

TEST_F(Warp, Exchange) {
  check<int>(
      "exchange",
      +[](int* out) {
        __shared__ int last, seen;
        if (me() == 0) last = seen = 0;
        __syncthreads();
        // Each thread puts its own number in and takes one out: all but the last are taken once.
        atomicAdd(&seen, atomicExch(&last, me() + 1));
        __syncthreads();
        out[me()] = seen + last;
      },
      64, [](int) { return 64 * 65 / 2; });
}

}  // namespace
}  // namespace simt
