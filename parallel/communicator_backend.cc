#include "parallel/communicator_backend.h"

#include <utility>

#include "parallel/cuda/nccl_communicator.h"
#include "tensor/cuda/runtime.h"

namespace shardgrad {
namespace {

constexpr const char* kWhere = "choose_backend";

bool all_on(DeviceType type, const std::vector<Device>& devices) {
  for (const Device& device : devices) {
    if (device.type != type) return false;
  }
  return true;
}

void check_devices(const std::vector<Device>& devices) {
  require(!devices.empty(), kWhere, "there are no ranks; expected a device for each");
  const bool on_cuda = all_on(DeviceType::Cuda, devices);
  require(on_cuda || all_on(DeviceType::Cpu, devices), kWhere,
          "some ranks are on the cpu and some on CUDA devices; choose one kind for all");
  if (!on_cuda) return;
  require_cuda(kWhere);
  for (const Device& device : devices) {
    require(device.index >= 0 && device.index < cuda::device_count(), kWhere,
            "there is no {}; choose an index below {}", device.to_string(), cuda::device_count());
  }
}

}  // namespace

const char* name_of(CommunicatorBackend backend) {
  switch (backend) {
    case CommunicatorBackend::Auto:
      return "auto";
    case CommunicatorBackend::Thread:
      return "thread";
    case CommunicatorBackend::Nccl:
      return "nccl";
  }
  return "unknown";
}

std::string why_no_nccl(const std::vector<Device>& devices) {
  if (!all_on(DeviceType::Cuda, devices)) return "the ranks are not on CUDA devices";
  if (!cuda::nccl_linked()) {
    return cuda::cuda_linked()
               ? "this program was built without NCCL, which the CUDA toolkit did not come with"
               : why_no_cuda();
  }
  for (std::size_t rank = 0; rank < devices.size(); ++rank) {
    for (std::size_t other = rank + 1; other < devices.size(); ++other) {
      if (devices[rank] != devices[other]) continue;
      return fmt::format("ranks {} and {} are both on {}, and NCCL takes one rank a GPU", rank,
                         other, devices[rank].to_string());
    }
  }
  return "";
}

CommunicatorBackend choose_backend(const std::vector<Device>& devices,
                                   CommunicatorBackend requested) {
  check_devices(devices);
  if (requested == CommunicatorBackend::Thread) return requested;
  const std::string obstacle = why_no_nccl(devices);
  if (requested == CommunicatorBackend::Auto) {
    const bool alone = devices.size() == 1;  // communicates nothing
    return obstacle.empty() && !alone ? CommunicatorBackend::Nccl : CommunicatorBackend::Thread;
  }
  require(obstacle.empty(), kWhere, "the nccl backend cannot be used: {}; choose thread", obstacle);
  return requested;
}

std::unique_ptr<Communicator> make_communicator(CommunicatorBackend backend, Device device,
                                                std::unique_ptr<HostCommunicator> host) {
  if (backend == CommunicatorBackend::Thread) return host;
  return cuda::make_nccl_communicator(std::move(host), device);
}

}  // namespace shardgrad
