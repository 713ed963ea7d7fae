// What simt catches, one bug a test: the report names the kernel and says what is wrong.
#include <thread>

#include "tests/simt/simt_testing.h"

namespace simt {
namespace {

using ::testing::HasSubstr;
using Reports = SimtTest;

// --- Memory ------------------------------------------------------------------------------------

__global__ void fill(float* x, int count) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < count) x[i] = 1;
}

// AddressSanitizer's own report of an overrun ends the program: see memory_faults_test.cc.
#if !defined(SIMT_ASAN)
TEST_F(Reports, OverrunIsAnErrorOfTheNextCall) {
  DeviceArray<float> x(100);
  launch("fill_too_much", 4, 32, 0, fill, x.data(), 101);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorIllegalAddress);
  EXPECT_EQ(launch("fill", 4, 32, 0, fill, x.data(), 100), cudaErrorIllegalAddress);
  EXPECT_THAT(cudaGetErrorString(cudaGetLastError()), HasSubstr("fill_too_much"));
  take_report();
}

TEST_F(Reports, CheckingEachLaunchNamesTheOneOfSeveral) {
  config().check_each_launch = true;
  DeviceArray<float> x(100);
  launch("first", 4, 32, 0, fill, x.data(), 100);
  launch("second", 4, 32, 0, fill, x.data(), 101);
  EXPECT_THAT(take_report(), HasSubstr("kernel second wrote past"));
}
#endif

TEST_F(Reports, ErrorThatTheProgramDoesNotLookAtFailsIt) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        float host[32];
        launch("fill_host", 1, 32, 0, fill, host, 32);
        std::exit(0);
      },
      ::testing::ExitedWithCode(1), "ends with 1 errors reported.*kernel fill_host: argument 0");
}

TEST_F(Reports, HostPointerAsArgument) {
  float host[32];
  EXPECT_EQ(launch("fill_host", 1, 32, 0, fill, host, 32), cudaErrorIllegalAddress);
  const std::string message = take_report();
  EXPECT_THAT(message, HasSubstr("kernel fill_host: argument 0"));
  EXPECT_THAT(message, HasSubstr("a host pointer?"));
}

TEST_F(Reports, FreedPointerAsArgument) {
  float* x = nullptr;
  cudaMalloc(&x, 400);
  cudaFree(x);
  launch("fill_freed", 1, 32, 0, fill, x, 32);
  const std::string message = take_report();
  EXPECT_THAT(message, HasSubstr("kernel fill_freed: argument 0"));
  EXPECT_THAT(message, HasSubstr("freed already?"));
}

TEST_F(Reports, MemoryOfAnotherDevice) {
  DeviceArray<float> x(32);
  cudaSetDevice(1);
  launch("fill_remote", 1, 32, 0, fill, x.data(), 32);
  EXPECT_THAT(take_report(), HasSubstr("kernel fill_remote: argument 0"));
  cudaSetDevice(0);
}

TEST_F(Reports, DoubleFree) {
  float* x = nullptr;
  cudaMalloc(&x, 400);
  cudaFree(x);
  EXPECT_EQ(cudaFree(x), cudaErrorInvalidValue);
  EXPECT_THAT(take_report(), HasSubstr("not the start of a live allocation"));
}

TEST_F(Reports, CopyThatLeavesItsAllocation) {
  DeviceArray<float> x(8);
  float host[9] = {};
  EXPECT_EQ(cudaMemcpy(x.data(), host, sizeof host, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
  EXPECT_THAT(take_report(), HasSubstr("leaves its allocation of 32 bytes"));
}

TEST_F(Reports, CopyInTheWrongDirection) {
  DeviceArray<float> x(8);
  float host[8] = {};
  EXPECT_EQ(cudaMemcpy(x.data(), host, sizeof host, cudaMemcpyDeviceToHost), cudaErrorInvalidValue);
  EXPECT_THAT(take_report(), HasSubstr("is device memory, the kind says host"));
}

__global__ void copy_packs(float* to, const float* from) {
  const int i = static_cast<int>(threadIdx.x);
  __stcs(reinterpret_cast<float4*>(to) + i, __ldcs(reinterpret_cast<const float4*>(from) + i));
}

TEST_F(Reports, MisalignedAccessOf16Bytes) {
  DeviceArray<float> x(64), y(std::vector<float>(64));
  launch("packs", 1, 8, 0, copy_packs, x.data(), y.data() + 1);
  const std::string message = take_report();
  EXPECT_THAT(message,
              HasSubstr("kernel packs, block (0, 0, 0), thread (0, 0, 0): 16 bytes at once"));
  EXPECT_THAT(message, HasSubstr("not a multiple of 16, at tests/simt/reports_test.cc:"));
}

// --- Launches ----------------------------------------------------------------------------------

TEST_F(Reports, TooManyThreads) {
  DeviceArray<float> x(8);
  EXPECT_EQ(launch("crowd", 1, 1025, 0, fill, x.data(), 8), cudaErrorInvalidConfiguration);
  EXPECT_THAT(take_report(), HasSubstr("kernel crowd: a block of (1025, 1, 1) threads"));
}

TEST_F(Reports, EmptyGrid) {
  DeviceArray<float> x(8);
  EXPECT_EQ(launch("nobody", 0, 32, 0, fill, x.data(), 8), cudaErrorInvalidConfiguration);
  EXPECT_THAT(take_report(), HasSubstr("kernel nobody: a grid of (0, 1, 1) blocks"));
}

TEST_F(Reports, GridTooHigh) {
  DeviceArray<float> x(8);
  EXPECT_EQ(launch("tower", dim3(1, 65536), 32, 0, fill, x.data(), 8),
            cudaErrorInvalidConfiguration);
  EXPECT_THAT(take_report(), HasSubstr("kernel tower: a grid of (1, 65536, 1) blocks"));
}

__global__ void fill_shared(float* x) {
  auto* shared = static_cast<float*>(dyn_shared());
  shared[threadIdx.x] = 1;
  __syncthreads();
  x[threadIdx.x] = shared[threadIdx.x];
}

TEST_F(Reports, TooMuchSharedMemory) {
  DeviceArray<float> x(32);
  EXPECT_EQ(launch("greedy", 1, 32, 49153, fill_shared, x.data()), cudaErrorInvalidValue);
  EXPECT_THAT(take_report(),
              HasSubstr("kernel greedy: 49153 bytes of dynamic shared memory, 49152 are allowed"));
  ASSERT_EQ(cudaFuncSetAttribute(fill_shared, cudaFuncAttributeMaxDynamicSharedMemorySize, 65536),
            cudaSuccess);
  EXPECT_EQ(launch("greedy", 1, 32, 49153, fill_shared, x.data()), cudaSuccess);
  EXPECT_EQ(cudaFuncSetAttribute(fill_shared, cudaFuncAttributeMaxDynamicSharedMemorySize, 1 << 20),
            cudaErrorInvalidValue);
  EXPECT_THAT(take_report(), HasSubstr("the most is 232448"));
}

TEST_F(Reports, StreamOfAnotherThread) {
  cudaStream_t foreign = nullptr;
  DeviceArray<float> x(32);
  std::thread([&] { cudaStreamCreate(&foreign); }).join();
  EXPECT_EQ(launch_into(foreign, "stray", 1, 32, 0, fill, x.data(), 32),
            cudaErrorInvalidResourceHandle);
  EXPECT_THAT(take_report(), HasSubstr("kernel stray: a stream that another host thread created"));
}

}  // namespace
}  // namespace simt
