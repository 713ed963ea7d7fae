// The arithmetic of a training step, and what the machine could do of it.
#pragma once

#include <cstdint>

#include "model/gpt_config.h"
#include "parallel/communicator.h"

namespace shardgrad {

/// Floating-point operations of the matrix products of one step on `sequences` x `tokens`, of all
/// ranks together: forward once, backward twice, each multiplication and each addition counted.
/// The causal half of attention's T x T counts. What is recomputed does not: the same step is the
/// same work in every layout (the convention of model FLOPs utilization: Chowdhery et al.,
/// arXiv:2204.02311, appendix B).
double step_flops(const GPTConfig& config, std::int64_t sequences, std::int64_t tokens);

/// Operations per second of the product of two matrices of size x size on every rank at once, all
/// ranks together: the best of `repeats`. Every rank calls it, before it holds tensors of its own:
/// what the allocator of `device` has cached is given back, and its peak starts anew.
double gemm_flops_per_second(Communicator& world, DType dtype, Device device, std::int64_t size,
                             int repeats);

/// A size at which a product is limited by arithmetic alone.
std::int64_t large_gemm_size(Device device);

/// The size for a measurement of `repeats` products on each of `ranks` ranks that is not noticed:
/// of at most a hundredth of the `flops` of what follows it, and of some tenths of a second. 0 when
/// such products would be too small to show what the machine can do.
std::int64_t quick_gemm_size(Device device, double flops, int ranks, int repeats);

}  // namespace shardgrad
