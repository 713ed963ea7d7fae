// Kernel: one operation with an implementation per device, and the dispatch between them.
#pragma once

#include <type_traits>

#include "tensor/tensor.h"

namespace shardgrad {

template <class Signature>
class Kernel;

/// A callable that runs the implementation for the device its tensors live on. Both
/// implementations have the same type, which the compiler checks. A family's header declares
/// `cpu::name` (and `cuda::name`), and binds them in namespace `kernels`:
/// `inline constexpr Kernel name{"name", cpu::name};`
///
/// @throws Error when the defined tensors are on different devices, or when the build has no
/// implementation for their device.
template <class... Args>
class Kernel<void(Args...)> {
 public:
  using Function = void(Args...);

  constexpr Kernel(const char* name, Function* cpu, Function* cuda = nullptr)
      : name_(name), cpu_(cpu), cuda_(cuda) {}

  void operator()(Args... args) const {
    const Tensor* first = nullptr;
    (check_device(args, first), ...);
    const Device device = first ? first->device() : Device{};
    Function* function = device.type == DeviceType::Cpu ? cpu_ : cuda_;
    require(function != nullptr, name_, "no implementation for device {} in this build",
            device.to_string());
    function(args...);
  }

 private:
  template <class Arg>
  void check_device(const Arg& arg, const Tensor*& first) const {
    if constexpr (std::is_same_v<Arg, Tensor>) {
      if (!arg.defined()) return;
      if (first == nullptr) first = &arg;
      require(arg.device() == first->device(), name_, "tensors on {} and {}; expected one device",
              first->device().to_string(), arg.device().to_string());
    }
  }

  const char* name_;
  Function* cpu_;
  Function* cuda_;
};

template <class... Args>
Kernel(const char*, void (*)(Args...)) -> Kernel<void(Args...)>;

}  // namespace shardgrad
