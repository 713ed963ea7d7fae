#include "tools/device_options.h"

#include <algorithm>
#include <set>

#include "tensor/cuda/runtime.h"

namespace shardgrad {

void add_device_option(CLI::App& app, DeviceOptions& options, const std::string& group) {
  app.add_option("--device", options.device,
                 "auto, cpu or cuda; auto takes the GPUs if there is one. Ranks beyond the number "
                 "of GPUs share them")
      ->check(CLI::IsMember({"auto", "cpu", "cuda"}))
      ->capture_default_str()
      ->group(group);
}

void add_device_options(CLI::App& app, DeviceOptions& options, const std::string& group) {
  add_device_option(app, options, group);
  app.add_option("--dtype", options.dtype,
                 "fp32; bf16: weights and activations in bfloat16, master weights, optimizer and "
                 "sums in fp32; fp64 for checks")
      ->check(CLI::IsMember({"fp32", "bf16", "fp64"}))
      ->capture_default_str()
      ->group(group);
  app.add_flag("--tf32", options.tf32,
               "On GPUs, round the factors of fp32 matrix products to TF32: faster, with about "
               "three digits")
      ->group(group);
}

DType dtype_of(const DeviceOptions& options) {
  return options.dtype == "bf16"   ? DType::BFloat16
         : options.dtype == "fp64" ? DType::Float64
                                   : DType::Float32;
}

std::vector<Device> devices_of_ranks(const DeviceOptions& options, int world_size,
                                     const Processes& processes) {
  std::vector<Device> devices(world_size);
  if (options.device == "cpu") return devices;
  const std::string reason = why_no_cuda();
  require(reason.empty() || options.device == "auto", "--device=cuda",
          "{}; choose --device=cpu, or auto for the best there is", reason);
  if (!reason.empty()) return devices;
  const int count = cuda::device_count();
  for (int rank = 0; rank < world_size; ++rank) {
    devices[rank] = {DeviceType::Cuda, processes.local_rank_of(rank) % count};
  }
  return devices;
}

std::string describe(const std::vector<Device>& devices) {
  if (devices.front().type == DeviceType::Cpu) return "cpu";
  std::set<int> different;
  for (const Device& device : devices) different.insert(device.index);
  const std::string name = cuda::device_name(devices.front().index);
  const std::string cards =
      different.size() == 1 ? name : fmt::format("{} x {}", different.size(), name);
  return different.size() == devices.size()
             ? cards
             : fmt::format("{}, shared by {} ranks", cards, devices.size());
}

int ranks_sharing_memory(const std::vector<Device>& devices, const Processes& processes) {
  if (processes.place().launched_by_mpi) return 1;
  return static_cast<int>(std::count(devices.begin(), devices.end(), devices.front()));
}

void wait_for(Device device) {
  if (device.type == DeviceType::Cuda) cuda::synchronize();
}

}  // namespace shardgrad
