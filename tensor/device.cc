#include "tensor/device.h"

#include "tensor/cuda/runtime.h"

namespace shardgrad {

std::string why_no_cuda() {
  if (!cuda::cuda_linked()) return "this program was built without the CUDA toolkit";
  return cuda::unavailable_reason();
}

void require_cuda(const char* where) {
  const std::string reason = why_no_cuda();
  require(reason.empty(), where, "no GPU can be used: {}", reason);
}

}  // namespace shardgrad
