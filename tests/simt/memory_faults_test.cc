// Accesses outside of a buffer and to one that was freed. What sees them differs: a plain build
// looks at red zones and page protection; AddressSanitizer sees every access and names its line.
#include "tests/simt/sanitizer_testing.h"

namespace simt {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr int kWriteLine = __LINE__ + 1;
__global__ void write_at(float* x, int i) { x[i] = 1; }

constexpr int kReadLine = __LINE__ + 1;
__global__ void read_at(float* out, const float* x, int i) { *out = 2 * x[i]; }

constexpr int kHiddenWriteLine = __LINE__ + 1;
__global__ void write_through(float** x) { (*x)[3] = 1; }

constexpr int kHiddenReadLine = __LINE__ + 1;
__global__ void read_through(float* out, float** x) { *out = (*x)[3]; }

constexpr int kFloats = 100;

void write_outside(int i) {
  DeviceArray<float> x(kFloats);
  launch("stray_write", 1, 1, 0, write_at, x.data(), i);
  cudaDeviceSynchronize();
}

float read_outside(int i) {
  DeviceArray<float> x(std::vector<float>(kFloats, 0)), out(1);
  launch("stray_read", 1, 1, 0, read_at, out.data(), x.data(), i);
  return out.get()[0];
}

/// The argument check cannot see a pointer that lies in memory.
void use_freed(bool write) {
  float* freed = nullptr;
  cudaMalloc(&freed, kFloats * sizeof(float));
  DeviceArray<float*> hidden({freed});
  DeviceArray<float> out(1);
  cudaFree(freed);
  if (write) {
    launch("late_write", 1, 1, 0, write_through, hidden.data());
  } else {
    launch("late_read", 1, 1, 0, read_through, out.data(), hidden.data());
  }
  cudaDeviceSynchronize();
}

void write_null() { launch("write_null", 1, 1, 0, write_at, static_cast<float*>(nullptr), 3); }

/// Deeper and deeper, until the stack is full.
int recurse(int* x, int depth) {
  volatile char frame[1000];
  frame[depth % 1000] = 1;
  return depth < *x ? recurse(x, depth + 1) + frame[(depth + 1) % 1000] : 0;
}
__global__ void overflow(int* x) { *x = recurse(x, 0); }

void overflow_stack() {
  DeviceArray<int> x(std::vector<int>{1000000});
  launch("deep", 1, 1, 0, overflow, x.data());
  cudaDeviceSynchronize();
}

void host_read() {
  config().protect = true;
  float* x = nullptr;
  cudaMalloc(&x, 400);
  const volatile float* read = x;
  if (*read > 0) std::abort();
}

constexpr int kDynamicLine = __LINE__ + 4;
__global__ void fill_dynamic(float* x, int last) {
  auto* shared = static_cast<float*>(dyn_shared());
  shared[threadIdx.x] = 1;
  if (threadIdx.x == 0) shared[last] = 2;
  __syncthreads();
  x[threadIdx.x] = shared[threadIdx.x];
}

void overrun_dynamic() {
  DeviceArray<float> x(32);
  launch("overrun", 1, 32, 32 * sizeof(float), fill_dynamic, x.data(), 32);
  cudaDeviceSynchronize();
}

#if defined(SIMT_ASAN)

auto report(const char* kernel, const char* kind, int line) {
  return AllOf(HasSubstr(std::string("simt: kernel ") + kernel +
                         ", block (0, 0, 0), thread (0, 0, 0), found by AddressSanitizer"),
               HasSubstr(kind), HasSubstr(place(__FILE__, line)));
}

using MemoryFaultsDeathTest = SimtTest;

TEST_F(MemoryFaultsDeathTest, Writes) {
  for (const int i : {-64, -1, kFloats, kFloats + 63}) {
    expect_sanitizer_report([i] { write_outside(i); },
                            report("stray_write", "WRITE of size 4", kWriteLine));
  }
}

TEST_F(MemoryFaultsDeathTest, Reads) {
  for (const int i : {-64, -1, kFloats, kFloats + 63}) {
    expect_sanitizer_report([i] { read_outside(i); },
                            report("stray_read", "READ of size 4", kReadLine));
  }
}

TEST_F(MemoryFaultsDeathTest, Freed) {
  expect_sanitizer_report([] { use_freed(true); },
                          report("late_write", "WRITE of size 4", kHiddenWriteLine));
  expect_sanitizer_report([] { use_freed(false); },
                          report("late_read", "READ of size 4", kHiddenReadLine));
}

TEST_F(MemoryFaultsDeathTest, DynamicSharedMemory) {
  expect_sanitizer_report(overrun_dynamic, report("overrun", "WRITE of size 4", kDynamicLine));
}

__global__ void index_shared(float* x, int last) {
  __shared__ float shared[32];
  for (int i = 0; i <= last; ++i) shared[i] = 1;
  *x = shared[0];
}

TEST_F(MemoryFaultsDeathTest, StaticSharedMemory) {
  expect_sanitizer_report(
      [] {
        DeviceArray<float> x(1);
        launch("index", 1, 1, 0, index_shared, x.data(), 32);
      },
      AllOf(HasSubstr("kernel index"), HasSubstr("index 32 out of bounds for type 'float [32]'")));
}

TEST_F(MemoryFaultsDeathTest, StackOverflow) {
  expect_sanitizer_report(overflow_stack, HasSubstr("AddressSanitizer: stack-overflow"));
}

TEST_F(MemoryFaultsDeathTest, NullPointer) {
  expect_sanitizer_report(write_null, HasSubstr("kernel write_null, block (0, 0, 0)"));
}

TEST_F(MemoryFaultsDeathTest, HostReadsProtectedDeviceMemory) {
  expect_sanitizer_report(host_read, HasSubstr("AddressSanitizer: SEGV"));
}

#else

class MemoryFaults : public SimtTest {};

TEST_F(MemoryFaults, Writes) {
  for (const auto& [i, text] :
       {std::pair(-64, "wrote 256 bytes before a device allocation of 400"),
        std::pair(-1, "wrote 4 bytes before a device allocation of 400"),
        std::pair(kFloats, "first at byte +400"), std::pair(kFloats + 63, "first at byte +652")}) {
    write_outside(i);
    EXPECT_THAT(take_report(), AllOf(HasSubstr("kernel stray_write wrote"), HasSubstr(text)));
  }
}

/// Reads leave no trace, but what they find is huge.
TEST_F(MemoryFaults, Reads) {
  for (const int i : {-64, -1, kFloats, kFloats + 63}) EXPECT_GT(read_outside(i), 1e30f) << i;
}

__global__ void copy_one(float* to, const float* from, int i) { to[i] = from[i]; }

TEST_F(MemoryFaults, CopyOfOneElementTooMany) {
  DeviceArray<float> to(kFloats), from(kFloats);
  launch("copy_one", 1, 1, 0, copy_one, to.data(), from.data(), kFloats);
  EXPECT_THAT(take_report(), HasSubstr("kernel copy_one wrote past"));
}

TEST_F(MemoryFaults, DynamicSharedMemory) {
  overrun_dynamic();
  EXPECT_THAT(take_report(),
              AllOf(HasSubstr("kernel overrun, block (0, 0, 0)"),
                    HasSubstr("wrote past the block's 128 bytes of dynamic shared memory, first "
                              "at byte 128")));
}

#if defined(SIMT_TSAN)
// ThreadSanitizer has the signals: it reports them itself.
using MemoryFaultsDeathTest = SimtTest;

auto signal_at(int line) {
  return AllOf(HasSubstr("ThreadSanitizer: SEGV"), HasSubstr(place(__FILE__, line)));
}

TEST_F(MemoryFaultsDeathTest, Freed) {
  expect_sanitizer_report([] { use_freed(true); }, signal_at(kHiddenWriteLine));
  expect_sanitizer_report([] { use_freed(false); }, signal_at(kHiddenReadLine));
}

TEST_F(MemoryFaultsDeathTest, StackOverflow) {
  expect_sanitizer_report(overflow_stack, HasSubstr("ThreadSanitizer: "));
}

TEST_F(MemoryFaultsDeathTest, NullPointer) {
  expect_sanitizer_report(write_null, signal_at(kWriteLine));
}

TEST_F(MemoryFaultsDeathTest, HostReadsProtectedDeviceMemory) {
  expect_sanitizer_report(host_read, HasSubstr("ThreadSanitizer: SEGV"));
}
#else
TEST_F(MemoryFaults, Freed) {
  for (const bool write : {true, false}) {
    use_freed(write);
    EXPECT_THAT(take_report(), AllOf(HasSubstr(write ? "kernel late_write, block (0, 0, 0), thread"
                                                     : "kernel late_read, block (0, 0, 0), thread"),
                                     HasSubstr("in device memory that was freed")));
  }
}

TEST_F(MemoryFaults, StackOverflow) {
  for (int repeat = 0; repeat < 3; ++repeat) {
    overflow_stack();
    EXPECT_THAT(take_report(), HasSubstr("kernel deep, block (0, 0, 0), thread (0, 0, 0): its "
                                         "stack of 65536 bytes overflows"));
  }
}

TEST_F(MemoryFaults, NullPointer) {
  write_null();
  EXPECT_THAT(take_report(),
              AllOf(HasSubstr("kernel write_null, block (0, 0, 0), thread (0, 0, 0): bad address"),
                    HasSubstr("(a null pointer)")));
}

using MemoryFaultsDeathTest = SimtTest;

TEST_F(MemoryFaultsDeathTest, HostReadsProtectedDeviceMemory) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(host_read(), "host code touched .*which is device memory \\(use cudaMemcpy\\)");
}
#endif
#endif

TEST_F(MemoryFaultsDeathTest, KernelsMayUseProtectedDeviceMemory) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        config().protect = true;
        DeviceArray<float> x(kFloats);
        launch("write", 1, 1, 0, write_at, x.data(), 5);
        std::_Exit(x.get()[5] == 1 && error_count() == 0 ? 0 : 1);
      },
      ::testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace simt
