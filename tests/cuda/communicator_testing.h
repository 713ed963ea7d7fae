// What the tests of communicators over CUDA tensors share: ranks on devices, and the same program
// run over the CPU's communicator.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "parallel/launch.h"
#include "tests/cuda/cuda_testing.h"

namespace shardgrad::cuda_testing {

/// Where the ranks of a run have their tensors, and how many there are.
using Placement = std::vector<Device>;

/// `ranks` ranks, in turn on the first `devices` devices.
inline Placement on_devices(int ranks, int devices) {
  Placement placement;
  for (int rank = 0; rank < ranks; ++rank) {
    placement.push_back({DeviceType::Cuda, rank % devices});
  }
  return placement;
}

inline std::string to_string(const Placement& placement) {
  std::string text;
  for (const Device& device : placement) {
    text += (text.empty() ? "" : "_") + std::to_string(device.index);
  }
  return text;
}

/// Ranks that are threads of this process, whatever devices they are on.
inline RunOptions thread_options(const Placement& placement) {
  RunOptions options;
  options.devices = placement;
  options.intra_op_threads = 1;
  options.backend = CommunicatorBackend::Thread;
  return options;
}

/// `x` rounded to the nearest numbers that `dtype` holds, in the dtype in which its sums are kept.
inline Tensor rounded(const Tensor& x, DType dtype) {
  Tensor result = x.to(accumulation_dtype(dtype)).clone();
  if (dtype == DType::BFloat16) {
    float* element = result.data<float>();
    for (std::int64_t i = 0; i < result.numel(); ++i) {
      element[i] = static_cast<float>(BFloat16(element[i]));
    }
  }
  return result;
}

/// What rank `rank` puts into a program: values whose sums round, so that the order of addition
/// shows. In the accumulation dtype.
inline Tensor rank_input(int rank, const Shape& shape, DType dtype) {
  std::vector<double> values;
  for (std::int64_t i = 0; i < shape.numel(); ++i) {
    const std::int64_t mixed = (i * 7919 + rank * 104729) % 2003 - 1001;
    values.push_back(0.37 * static_cast<double>(mixed));
  }
  return rounded(Tensor::from(values, shape), dtype);
}

/// What one rank does with its input; its result has the input's dtype and device.
using Program = std::function<Tensor(Communicator&, Tensor)>;

/// The result of each rank, on the host in the accumulation dtype, when the ranks run `program` on
/// CUDA devices.
inline std::vector<Tensor> results_on_devices(const RunOptions& options, const Shape& shape,
                                              DType dtype, const Program& program) {
  std::vector<Tensor> results(options.devices.size());
  run_ranks(options, [&](Communicator& group) {
    const int rank = group.rank();
    const Device device = options.devices[rank];
    const Tensor result = program(group, rank_input(rank, shape, dtype).to(device).to(dtype));
    results[rank] = result.to(accumulation_dtype(dtype)).to(Device{});
  });
  return results;
}

/// What they have to be: the same over the CPU's communicator in the accumulation dtype, rounded to
/// `dtype` once.
inline std::vector<Tensor> results_on_cpu(int ranks, const Shape& shape, DType dtype,
                                          const Program& program) {
  std::vector<Tensor> results(ranks);
  run_ranks(ranks, 1, [&](Communicator& group) {
    const int rank = group.rank();
    results[rank] = rounded(program(group, rank_input(rank, shape, dtype)), dtype);
  });
  return results;
}

// --- Programs: one for each collective ---------------------------------------------------------

inline Tensor sum_program(Communicator& group, Tensor x) {
  group.all_reduce(x);
  return x;
}

inline Tensor max_program(Communicator& group, Tensor x) {
  group.all_reduce(x, ReduceOp::Max);
  return x;
}

inline Shape joined(Shape part, int ranks) {
  part[0] *= ranks;
  return part;
}

inline Tensor gather_program(Communicator& group, Tensor x) {
  Tensor all = Tensor::full(joined(x.shape(), group.world_size()), -1.0, x.dtype(), x.device());
  group.all_gather(x, all);
  x.fill(-2.0);  // nobody reads it any more
  return all;
}

inline Tensor gather_in_place_program(Communicator& group, Tensor x) {
  Tensor all = Tensor::full(joined(x.shape(), group.world_size()), -1.0, x.dtype(), x.device());
  Tensor own = all.slice(0, group.rank() * x.size(0), x.size(0));
  own.copy_from(x);
  group.all_gather(own, all);
  return all;
}

inline Tensor scatter_program(Communicator& group, Tensor x) {
  const std::int64_t rows = x.size(0) / group.world_size();
  Tensor whole = x.slice(0, 0, rows * group.world_size()).clone();
  Tensor part = Tensor::full(whole.slice(0, 0, rows).shape(), -1.0, x.dtype(), x.device());
  group.reduce_scatter(whole, part);
  whole.fill(-2.0);
  return part;
}

inline Tensor scatter_in_place_program(Communicator& group, Tensor x) {
  const std::int64_t rows = x.size(0) / group.world_size();
  Tensor whole = x.slice(0, 0, rows * group.world_size()).clone();
  Tensor part = whole.slice(0, group.rank() * rows, rows);
  group.reduce_scatter(whole, part);
  return part.clone();
}

inline Tensor broadcast_program(Communicator& group, Tensor x) {
  group.broadcast(x, group.world_size() - 1);
  return x;
}

/// Round the ring: rank 0 sends first, the others receive first.
inline Tensor ring_program(Communicator& group, Tensor x) {
  const int ranks = group.world_size(), rank = group.rank();
  Tensor received = Tensor::full(x.shape(), -1.0, x.dtype(), x.device());
  if (rank == 0) group.send(x, (rank + 1) % ranks);
  group.receive(received, (rank + ranks - 1) % ranks);
  if (rank != 0) group.send(x, (rank + 1) % ranks);
  x.fill(-2.0);
  return received;
}

struct NamedProgram {
  const char* name;
  Program program;
};
inline const NamedProgram kPrograms[] = {
    {"sum", sum_program},
    {"max", max_program},
    {"gather", gather_program},
    {"gather in place", gather_in_place_program},
    {"scatter", scatter_program},
    {"scatter in place", scatter_in_place_program},
    {"broadcast", broadcast_program},
    {"ring", ring_program},
};

}  // namespace shardgrad::cuda_testing
