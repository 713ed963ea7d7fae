// What the tests of simt share: kernels launched by name, device memory, expected reports.
#pragma once

#include <cuda_runtime.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <simt/sanitizers.h>

#include <string>
#include <utility>
#include <vector>

namespace simt {

/// Device memory that holds the elements of a vector.
template <class T>
class DeviceArray {
 public:
  explicit DeviceArray(size_t size) : size_(size) { cudaMalloc(&data_, size * sizeof(T)); }
  explicit DeviceArray(const std::vector<T>& values) : DeviceArray(values.size()) { set(values); }
  ~DeviceArray() { cudaFree(data_); }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;

  T* data() const { return data_; }
  size_t size() const { return size_; }
  void set(const std::vector<T>& values) {
    cudaMemcpy(data_, values.data(), size_ * sizeof(T), cudaMemcpyHostToDevice);
  }
  std::vector<T> get() const {
    std::vector<T> values(size_);
    cudaMemcpy(values.data(), data_, size_ * sizeof(T), cudaMemcpyDeviceToHost);
    return values;
  }

 private:
  T* data_ = nullptr;
  size_t size_;
};

/// Launches kernel(arguments...) under the name that messages give it.
template <class... Parameters, class... Arguments>
cudaError_t launch_into(cudaStream_t stream, const char* name, dim3 grid, dim3 block,
                        size_t shared_bytes, void (*kernel)(Parameters...),
                        Arguments&&... arguments) {
  set_next_kernel_name(name);
  cudaLaunchConfig_t config = {};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared_bytes;
  config.stream = stream;
  return cudaLaunchKernelEx(&config, kernel, std::forward<Arguments>(arguments)...);
}

template <class... Parameters, class... Arguments>
cudaError_t launch(const char* name, dim3 grid, dim3 block, size_t shared_bytes,
                   void (*kernel)(Parameters...), Arguments&&... arguments) {
  return launch_into(nullptr, name, grid, block, shared_bytes, kernel,
                     std::forward<Arguments>(arguments)...);
}

/// Each test starts in order and without errors, and leaves nothing behind. Whatever was reported
/// and not expected fails it.
class SimtTest : public ::testing::Test {
 protected:
  void SetUp() override {
    before_ = config();
    clear_errors();
    set_seed(0);
    live_before_ = simtLiveAllocations();
  }
  void TearDown() override {
    cudaDeviceSynchronize();
    EXPECT_EQ(error_count(), 0) << last_message();
    EXPECT_EQ(simtLiveAllocations(), live_before_);
    config() = before_;
    clear_errors();
  }

  /// Waits for the device, and takes the one report that there must be.
  std::string take_report() {
    cudaDeviceSynchronize();
    EXPECT_EQ(error_count(), 1);
    std::string message = last_message();
    clear_errors();
    return message;
  }

 private:
  Config before_;
  size_t live_before_ = 0;
};

}  // namespace simt
