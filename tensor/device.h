// Where a tensor's memory lives.
#pragma once

#include <string>

#include "tensor/error.h"

namespace shardgrad {

enum class DeviceType { Cpu, Cuda };

/// A processor with its own memory: the host, or one CUDA card by its ordinal.
struct Device {
  DeviceType type = DeviceType::Cpu;
  int index = 0;

  friend bool operator==(const Device& a, const Device& b) {
    return a.type == b.type && a.index == b.index;
  }
  friend bool operator!=(const Device& a, const Device& b) { return !(a == b); }

  /// "cpu" or "cuda:0".
  std::string to_string() const {
    return type == DeviceType::Cpu ? "cpu" : fmt::format("cuda:{}", index);
  }
};

/// What keeps this program from using a GPU: it was linked without CUDA kernels, there is no
/// driver, no device; "" when it can.
std::string why_no_cuda();

/// @throws Error naming `where` and the reason, unless a GPU can be used.
void require_cuda(const char* where);

}  // namespace shardgrad
