// Where a program's ranks have their tensors, and what these are made of.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "parallel/communicator.h"
#include "parallel/processes.h"
#include "tensor/tensor.h"

namespace shardgrad {

/// --device, --dtype and --tf32.
struct DeviceOptions {
  std::string device = "auto";  ///< auto, cpu or cuda
  std::string dtype = "fp32";   ///< fp32, bf16 or fp64
  bool tf32 = false;            ///< see set_allow_tf32()
};

/// Adds --device to a command line.
void add_device_option(CLI::App& app, DeviceOptions& options, const std::string& group);

/// Adds all three.
void add_device_options(CLI::App& app, DeviceOptions& options, const std::string& group);

/// The dtype of weights and activations.
DType dtype_of(const DeviceOptions& options);

/// The devices of `world_size` ranks: one GPU of the rank's node after the other, and from the
/// first again if there are fewer GPUs than ranks; or the CPU. "auto" takes GPUs if there is one.
/// @throws Error that says what was found when "cuda" is asked for and cannot be used.
std::vector<Device> devices_of_ranks(const DeviceOptions& options, int world_size,
                                     const Processes& processes);

/// "cpu", "NVIDIA H100 80GB HBM3", "2 x NVIDIA H100 80GB HBM3", "NVIDIA H100 80GB HBM3, shared by 2
/// ranks".
std::string describe(const std::vector<Device>& devices);

/// How many ranks of this process share the device of the first, and its allocator. Ranks that are
/// processes share none.
int ranks_sharing_memory(const std::vector<Device>& devices, const Processes& processes);

/// Waits until the work of the calling thread on `device` is done: for programs that measure time.
void wait_for(Device device);

}  // namespace shardgrad
