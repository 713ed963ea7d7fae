// Streams and events: what is ordered, and that deferred mode finds what is not.
#include <atomic>
#include <chrono>
#include <thread>

#include "tests/simt/simt_testing.h"

namespace simt {
namespace {

using ::testing::Each;
using ::testing::HasSubstr;

__global__ void set_all(int* x, int value) { x[threadIdx.x] = value; }
__global__ void add_to_all(int* to, const int* from) { to[threadIdx.x] += from[threadIdx.x]; }

class Streams : public SimtTest {
 protected:
  void SetUp() override {
    SimtTest::SetUp();
    cudaStreamCreateWithFlags(&first_, cudaStreamNonBlocking);
    cudaStreamCreateWithFlags(&second_, cudaStreamNonBlocking);
    cudaEventCreateWithFlags(&event_, cudaEventDisableTiming);
  }
  void TearDown() override {
    cudaEventDestroy(event_);
    cudaStreamDestroy(first_);
    cudaStreamDestroy(second_);
    SimtTest::TearDown();
  }

  /// In how many of 40 tries a consumer in another stream reads what the producer wrote.
  int good_of_40(bool wait) {
    int good = 0;
    for (int i = 1; i <= 40; ++i) {
      DeviceArray<int> from(std::vector<int>(32, 0)), to(std::vector<int>(32, 0));
      launch_into(first_, "produce", 1, 32, 0, set_all, from.data(), i);
      cudaEventRecord(event_, first_);
      if (wait) cudaStreamWaitEvent(second_, event_, 0);
      launch_into(second_, "consume", 1, 32, 0, add_to_all, to.data(), from.data());
      cudaDeviceSynchronize();
      good += to.get()[7] == i;
    }
    return good;
  }

  cudaStream_t first_ = nullptr, second_ = nullptr;
  cudaEvent_t event_ = nullptr;
};

TEST_F(Streams, DeferredModeFindsAMissingWait) {
  EXPECT_EQ(good_of_40(false), 40) << "at once";
  config().deferred = true;
  EXPECT_EQ(good_of_40(true), 40);
  const int good = good_of_40(false);
  EXPECT_GT(good, 0);
  EXPECT_LT(good, 40);
}

TEST_F(Streams, DeferredWorkRunsOnlyWhenItIsWaitedFor) {
  config().deferred = true;
  int* pinned = nullptr;
  cudaMallocHost(&pinned, 32 * sizeof(int));
  DeviceArray<int> x(32);
  launch_into(first_, "set", 1, 32, 0, set_all, x.data(), 4);
  cudaMemcpyAsync(pinned, x.data(), 32 * sizeof(int), cudaMemcpyDeviceToHost, first_);
  EXPECT_NE(pinned[0], 4) << "pinned memory before the wait";
  EXPECT_EQ(cudaStreamQuery(first_), cudaErrorNotReady);
  EXPECT_EQ(cudaStreamSynchronize(first_), cudaSuccess);
  EXPECT_EQ(pinned[0], 4);
  cudaFreeHost(pinned);
}

TEST_F(Streams, DefaultStreamWaitsForBlockingOnesAndTheyForIt) {
  config().deferred = true;
  cudaStream_t blocking = nullptr;
  cudaStreamCreate(&blocking);
  for (int i = 0; i < 20; ++i) {
    DeviceArray<int> x(32), y(std::vector<int>(32, 0)), z(std::vector<int>(32, 0));
    launch_into(blocking, "set", 1, 32, 0, set_all, x.data(), 4);
    launch("add", 1, 32, 0, add_to_all, y.data(), x.data());
    launch_into(blocking, "add", 1, 32, 0, add_to_all, z.data(), y.data());
    cudaDeviceSynchronize();
    EXPECT_THAT(z.get(), Each(4));
  }
  cudaStreamDestroy(blocking);
}

TEST_F(Streams, EventOfAnotherHostThread) {
  for (const bool deferred : {false, true}) {
    config().deferred = deferred;
    DeviceArray<int> x(32), y(std::vector<int>(32, 1));
    std::atomic<bool> recorded{false};
    std::thread producer([&] {
      launch_into(cudaStreamPerThread, "set", 1, 32, 0, set_all, x.data(), 4);
      cudaEventRecord(event_, cudaStreamPerThread);
      recorded = true;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
      cudaStreamSynchronize(cudaStreamPerThread);
    });
    while (!recorded) std::this_thread::yield();
    cudaStreamWaitEvent(first_, event_, 0);
    launch_into(first_, "add", 1, 32, 0, add_to_all, y.data(), x.data());
    cudaStreamSynchronize(first_);
    EXPECT_THAT(y.get(), Each(5));
    producer.join();
  }
}

TEST_F(Streams, HostMemoryMayBeReusedAfterAnAsynchronousCopy) {
  config().deferred = true;
  DeviceArray<int> x(32);
  std::vector<int> host(32, 3);
  cudaMemcpyAsync(x.data(), host.data(), 32 * sizeof(int), cudaMemcpyHostToDevice, first_);
  std::fill(host.begin(), host.end(), 9);
  cudaStreamSynchronize(first_);
  EXPECT_THAT(x.get(), Each(3));
}

TEST_F(Streams, StreamOfAnotherDeviceIsRefused) {
  DeviceArray<int> x(32);
  cudaSetDevice(1);
  EXPECT_NE(launch_into(first_, "set", 1, 32, 0, set_all, x.data(), 1), cudaSuccess);
  cudaSetDevice(0);
  EXPECT_THAT(take_report(), HasSubstr("the stream belongs to device 0"));
}

TEST_F(Streams, EventsTellTheTime) {
  cudaEvent_t start = nullptr, stop = nullptr;
  cudaEventCreate(&start);
  cudaEventCreate(&stop);
  cudaEventRecord(start, first_);
  std::this_thread::sleep_for(std::chrono::milliseconds(2));
  cudaEventRecord(stop, first_);
  float milliseconds = 0;
  EXPECT_EQ(cudaEventSynchronize(stop), cudaSuccess);
  EXPECT_EQ(cudaEventElapsedTime(&milliseconds, start, stop), cudaSuccess);
  EXPECT_GE(milliseconds, 2);
  cudaEventDestroy(start);
  cudaEventDestroy(stop);
}

TEST_F(Streams, ErrorsOfAKernelStick) {
  DeviceArray<int> x(32);
  launch(
      "trap", 1, 1, 0,
      +[](int* to) {
        *to = 1;
        __trap();
      },
      x.data());
  EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorLaunchFailure);
  EXPECT_EQ(cudaGetLastError(), cudaErrorLaunchFailure);
  EXPECT_EQ(cudaGetLastError(), cudaErrorLaunchFailure) << "it was asked for already";
  int* y = nullptr;
  EXPECT_EQ(cudaMalloc(&y, 4), cudaErrorLaunchFailure);
  EXPECT_EQ(launch("set", 1, 32, 0, set_all, x.data(), 1), cudaErrorLaunchFailure);
  EXPECT_THAT(cudaGetErrorString(cudaErrorLaunchFailure), HasSubstr("kernel trap"));
  cudaSetDevice(1);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess) << "the other device is as it was";
  cudaSetDevice(0);
  take_report();
}

TEST_F(Streams, WrongCallsDoNotStick) {
  DeviceArray<int> x(32);
  EXPECT_EQ(launch("set", 1, 2048, 0, set_all, x.data(), 1), cudaErrorInvalidConfiguration);
  EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidConfiguration);
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
  take_report();
  EXPECT_EQ(launch("set", 1, 32, 0, set_all, x.data(), 1), cudaSuccess);
  EXPECT_THAT(x.get(), Each(1));
}

TEST_F(Streams, MemoryRunsOut) {
  config().device_memory = 1 << 20;
  char *x = nullptr, *y = nullptr;
  EXPECT_EQ(cudaMalloc(&x, 900 << 10), cudaSuccess);
  EXPECT_EQ(cudaMalloc(&y, 200 << 10), cudaErrorMemoryAllocation);
  EXPECT_EQ(y, nullptr);
  EXPECT_EQ(cudaGetLastError(), cudaErrorMemoryAllocation);
  cudaFree(x);
  EXPECT_EQ(cudaMalloc(&y, 200 << 10), cudaSuccess);
  cudaFree(y);
}

}  // namespace
}  // namespace simt
