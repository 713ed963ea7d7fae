#include "tensor/operation_times.h"

#include "tensor/cuda/runtime.h"
#include "tensor/tensor.h"

namespace shardgrad {
namespace {

thread_local OperationTimes* newest = nullptr;

}  // namespace

OperationTimes::OperationTimes() : before_(newest) { newest = this; }

OperationTimes::~OperationTimes() { newest = before_; }

OperationTimes* OperationTimes::of_thread() { return newest; }

OperationTimes::Entry::Entry(OperationTimes& times, const char* name,
                             const std::vector<const Tensor*>& operands)
    : times_(times), call_{name, {}, 0.0} {
  for (const Tensor* operand : operands) {
    if (!operand->defined()) continue;
    call_.operands.push_back({operand->shape(), operand->dtype()});
    if (operand->device().type == DeviceType::Cuda) {
      on_cuda_ = true;
      cuda::use_device(operand->device().index);
    }
  }
  if (on_cuda_) cuda::synchronize();
  times_.inside_ = true;
  start_ = std::chrono::steady_clock::now();
}

OperationTimes::Entry::~Entry() {
  // What has failed is said by the next call that waits.
  try {
    if (on_cuda_) cuda::synchronize();
  } catch (...) {
  }
  call_.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  times_.inside_ = false;
  times_.calls_.push_back(std::move(call_));
}

}  // namespace shardgrad
