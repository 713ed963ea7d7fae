#include "simt/src/device.h"

#include <atomic>
#include <cstdio>

#include "simt/runtime_api.h"
#include "simt/src/error.h"
#include "simt/src/memory.h"

namespace simt {
namespace {

__thread int current = 0;
std::atomic<bool> peer_access[kMaxDevices][kMaxDevices];

bool exists(int device) { return device >= 0 && device < config().devices; }

constexpr size_t kSharedPerBlock = size_t{48} << 10;
constexpr size_t kSharedPerBlockOptIn = size_t{227} << 10;
constexpr size_t kSharedPerMultiprocessor = size_t{228} << 10;
constexpr int kMultiprocessors = 4;
constexpr int kVersion = 13000;

}  // namespace

int current_device() { return current; }
DeviceScope::DeviceScope(int device) : before_(current) { current = device; }
DeviceScope::~DeviceScope() { current = before_; }

bool can_access(int device, int owner) { return device == owner || peer_access[device][owner]; }

}  // namespace simt

using namespace simt;

extern "C" {

cudaError_t cudaGetDeviceCount(int* count) {
  *count = config().devices;
  return config().devices > 0 ? cudaSuccess : record(cudaErrorNoDevice);
}

cudaError_t cudaSetDevice(int device) {
  if (!exists(device)) {
    return misuse(cudaErrorInvalidDevice, "cudaSetDevice(%d): there are %d devices", device,
                  config().devices);
  }
  current = device;
  return cudaSuccess;
}

cudaError_t cudaGetDevice(int* device) {
  *device = current;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  if (!exists(device)) return record(cudaErrorInvalidDevice);
  *properties = {};
  std::snprintf(properties->name, sizeof properties->name, "simt (CPU) %d", device);
  properties->totalGlobalMem = config().device_memory;
  properties->sharedMemPerBlock = kSharedPerBlock;
  properties->sharedMemPerBlockOptin = kSharedPerBlockOptIn;
  properties->sharedMemPerMultiprocessor = kSharedPerMultiprocessor;
  properties->warpSize = 32;
  properties->maxThreadsPerBlock = 1024;
  properties->maxThreadsPerMultiProcessor = 2048;
  properties->regsPerBlock = 65536;
  properties->major = 9;
  properties->multiProcessorCount = kMultiprocessors;
  properties->l2CacheSize = 50 << 20;
  properties->unifiedAddressing = 1;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  if (!exists(device)) return record(cudaErrorInvalidDevice);
  switch (attribute) {
    case cudaDevAttrMaxThreadsPerBlock:
      *value = 1024;
      break;
    case cudaDevAttrMaxSharedMemoryPerBlock:
      *value = static_cast<int>(kSharedPerBlock);
      break;
    case cudaDevAttrWarpSize:
      *value = 32;
      break;
    case cudaDevAttrMultiProcessorCount:
      *value = kMultiprocessors;
      break;
    case cudaDevAttrL2CacheSize:
      *value = 50 << 20;
      break;
    case cudaDevAttrMaxThreadsPerMultiProcessor:
      *value = 2048;
      break;
    case cudaDevAttrComputeCapabilityMajor:
      *value = 9;
      break;
    case cudaDevAttrComputeCapabilityMinor:
      *value = 0;
      break;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
      *value = static_cast<int>(kSharedPerMultiprocessor);
      break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *value = static_cast<int>(kSharedPerBlockOptIn);
      break;
    default:
      return misuse(cudaErrorInvalidValue, "device attribute %d is not modelled", attribute);
  }
  return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int* version) {
  *version = kVersion;
  return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = kVersion;
  return cudaSuccess;
}

cudaError_t cudaDeviceCanAccessPeer(int* can, int device, int peer) {
  if (!exists(device) || !exists(peer)) return record(cudaErrorInvalidDevice);
  *can = device != peer;
  return cudaSuccess;
}

cudaError_t cudaDeviceEnablePeerAccess(int peer, unsigned) {
  if (!exists(peer) || peer == current) return record(cudaErrorInvalidDevice);
  if (peer_access[current][peer].exchange(true)) return record(cudaErrorPeerAccessAlreadyEnabled);
  return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  *total = config().device_memory;
  const size_t used = allocated_bytes(current);
  *free = used < *total ? *total - used : 0;
  return cudaSuccess;
}

}  // extern "C"
