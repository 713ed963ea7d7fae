// Kernel: one operation with an implementation per device, and the dispatch between them.
#pragma once

#include <string>
#include <type_traits>
#include <vector>

#include "tensor/cuda/runtime.h"
#include "tensor/operation_times.h"
#include "tensor/tensor.h"

namespace shardgrad {

template <class Signature>
class Kernel;

/// A callable that checks its arguments and runs the implementation for the device its tensors live
/// on. All three functions have the same type, which the compiler sees to. A family's header
/// declares `checks::name`, `cpu::name` and `cuda::name`, and binds them in namespace `kernels`:
/// `inline const Kernel name{"name", checks::name, cpu::name, cuda::name};`
///
/// cuda::name is declared [[gnu::weak]]: whether a program has CUDA kernels is decided when it is
/// linked (package backend), so that everything but the kernels is compiled once for all programs.
/// One that nobody linked is null.
///
/// @throws Error when the arguments do not fit (see the family's header), when the defined tensors
/// are on different devices, or when the program has no implementation for their device.
template <class... Args>
class Kernel<void(Args...)> {
 public:
  using Function = void(Args...);

  constexpr Kernel(const char* name, Function* check, Function* cpu, Function* cuda)
      : name_(name), check_(check), cpu_(cpu), cuda_(cuda) {}

  void operator()(Args... args) const {
    const Tensor* first = nullptr;
    (check_device(args, first), ...);
    const Device device = first ? first->device() : Device{};
    check_(args...);
    OperationTimes* const times = OperationTimes::of_thread();
    if (times == nullptr) return run(device, args...);
    std::vector<const Tensor*> operands;
    (append_operand(args, operands), ...);
    times->measure(name_, operands, [&] { run(device, args...); });
  }

 private:
  void run(const Device& device, Args... args) const {
    if (device.type == DeviceType::Cpu) {
      cpu_(args...);
      return;
    }
    require(cuda_ != nullptr, name_, "this program has no CUDA kernels, but a tensor is on {}",
            device.to_string());
    cuda::use_device(device.index);
    try {
      cuda_(args...);
    } catch (const cuda::Failure& failure) {
      std::string shapes;
      (append_shape(args, shapes), ...);
      fail(name_, "{}; the tensors are {}", failure.text, shapes);
    }
  }

  template <class Arg>
  void check_device(const Arg& arg, const Tensor*& first) const {
    if constexpr (std::is_same_v<Arg, Tensor>) {
      if (!arg.defined()) return;
      if (first == nullptr) first = &arg;
      require(arg.device() == first->device(), name_, "tensors on {} and {}; expected one device",
              first->device().to_string(), arg.device().to_string());
    }
  }

  template <class Arg>
  static void append_shape(const Arg& arg, std::string& shapes) {
    if constexpr (std::is_same_v<Arg, Tensor>) {
      if (!shapes.empty()) shapes += ", ";
      shapes += arg.defined() ? std::string(name_of(arg.dtype())) + " " + arg.shape().to_string()
                              : "undefined";
    }
  }

  template <class Arg>
  static void append_operand(const Arg& arg, std::vector<const Tensor*>& operands) {
    if constexpr (std::is_same_v<Arg, Tensor>) operands.push_back(&arg);
  }

  const char* name_;
  Function* check_;
  Function* cpu_;
  Function* cuda_;
};

template <class... Args>
Kernel(const char*, void (*)(Args...), void (*)(Args...), void (*)(Args...))
    -> Kernel<void(Args...)>;

}  // namespace shardgrad
