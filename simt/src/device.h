// Devices: only a number that memory, streams and communicators belong to.
#pragma once

namespace simt {

constexpr int kMaxDevices = 64;

/// The device of the calling host thread.
int current_device();

/// Makes `device` current while it lives, for work that runs later than it was asked for.
class DeviceScope {
 public:
  explicit DeviceScope(int device);
  ~DeviceScope();
  DeviceScope(const DeviceScope&) = delete;
  DeviceScope& operator=(const DeviceScope&) = delete;

 private:
  int before_;
};

/// Whether kernels on `device` may use memory of `owner`.
bool can_access(int device, int owner);

}  // namespace simt
