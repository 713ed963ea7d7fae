#include "parallel/run_rank.h"

#include <utility>

#include "tensor/cuda/runtime.h"

namespace shardgrad {

void run_rank(CommunicatorBackend backend, Device device, std::unique_ptr<HostCommunicator> host,
              std::unique_ptr<Communicator>& communicator,
              const std::function<void(Communicator&)>& body) {
  if (device.type == DeviceType::Cuda) cuda::use_device(device.index);
  communicator = make_communicator(backend, device, std::move(host));
  body(*communicator);
  // What has failed on the device by now is this rank's failure.
  if (device.type == DeviceType::Cuda) cuda::synchronize();
  communicator->finish();
}

std::string message_of(const std::exception_ptr& exception) {
  try {
    std::rethrow_exception(exception);
  } catch (const std::exception& error) {
    return error.what();
  } catch (...) {
    return "an exception that is not a std::exception";
  }
}

}  // namespace shardgrad
