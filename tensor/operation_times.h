// Times the kernels and collectives that a thread calls: what a profile is made of.
#pragma once

#include <chrono>
#include <vector>

#include "tensor/dtype.h"
#include "tensor/shape.h"

namespace shardgrad {

class Tensor;

/// What a tensor argument of a call was.
struct OperandShape {
  Shape shape;
  DType dtype;
};

/// One call of a kernel, or of a collective.
struct OperationCall {
  const char* name;
  std::vector<OperandShape> operands;  ///< its tensors, in the order of the arguments
  double seconds;
};

/// Records the calls that its thread makes while it lives; of two, the later one. On a CUDA device
/// each call is waited for, so that the times are those of the work and not of queueing it: they
/// add up to more than a step takes that is not recorded.
class OperationTimes {
 public:
  OperationTimes();
  ~OperationTimes();
  OperationTimes(const OperationTimes&) = delete;
  OperationTimes& operator=(const OperationTimes&) = delete;

  /// The calling thread's, or null: calls are then not recorded.
  static OperationTimes* of_thread();

  /// Runs and records one call. One that `run` makes within is part of it.
  template <class Run>
  void measure(const char* name, const std::vector<const Tensor*>& operands, const Run& run) {
    if (inside_) return run();
    const Entry entry(*this, name, operands);
    run();
  }

  const std::vector<OperationCall>& calls() const { return calls_; }

 private:
  // From its making to its end, also when the call throws.
  class Entry {
   public:
    Entry(OperationTimes& times, const char* name, const std::vector<const Tensor*>& operands);
    ~Entry();
    Entry(const Entry&) = delete;
    Entry& operator=(const Entry&) = delete;

   private:
    OperationTimes& times_;
    OperationCall call_;
    bool on_cuda_ = false;
    std::chrono::steady_clock::time_point start_;
  };

  std::vector<OperationCall> calls_;
  OperationTimes* before_;
  bool inside_ = false;
};

}  // namespace shardgrad
