#include "parallel/cuda/rank_reduce.h"
#include "tensor/cuda/elements.cuh"

namespace shardgrad::cuda {
namespace {

// The ranks' buffers, handed to the kernel by value.
struct RankBuffers {
  int inputs = 0;
  int outputs = 0;
  const void* input[kMostReducedRanks];
  void* output[kMostReducedRanks];
};

struct Sum {
  template <class A>
  __device__ static A of(A a, A b) {
    return a + b;
  }
};

struct Max {
  template <class A>
  __device__ static A of(A a, A b) {
    return max_or_nan(a, b);
  }
};

// The sum in the order of the ranks, rounded to T once.
template <class T, class Combine>
__device__ T reduced_element(const RankBuffers& buffers, std::int64_t i) {
  Accumulator<T> total = widen(static_cast<const T*>(buffers.input[0])[i]);
  for (int rank = 1; rank < buffers.inputs; ++rank) {
    total = Combine::of(total, widen(static_cast<const T*>(buffers.input[rank])[i]));
  }
  return narrow<T>(total);
}

template <class T, class Combine>
__device__ Pack<T> reduced_pack(const RankBuffers& buffers, std::int64_t first) {
  Accumulator<T> total[Pack<T>::kSize];
  for (int rank = 0; rank < buffers.inputs; ++rank) {
    const Pack<T> next = load_pack(static_cast<const T*>(buffers.input[rank]) + first);
#pragma unroll
    for (int k = 0; k < Pack<T>::kSize; ++k) {
      const Accumulator<T> value = widen(next.value[k]);
      total[k] = rank == 0 ? value : Combine::of(total[k], value);
    }
  }
  Pack<T> result;
#pragma unroll
  for (int k = 0; k < Pack<T>::kSize; ++k) result.value[k] = narrow<T>(total[k]);
  return result;
}

// An output may be an input: an element is read by the thread that writes it.
template <class T, class Combine>
__global__ void rank_reduce_kernel(std::int64_t count, bool packed, RankBuffers buffers) {
  constexpr std::int64_t kSize = Pack<T>::kSize;
  const std::int64_t packs = packed ? count / kSize : 0;
  for (std::int64_t p = global_thread(); p < packs; p += all_threads()) {
    const Pack<T> result = reduced_pack<T, Combine>(buffers, p * kSize);
    for (int i = 0; i < buffers.outputs; ++i) {
      store_pack(static_cast<T*>(buffers.output[i]) + p * kSize, result);
    }
  }
  for (std::int64_t i = packs * kSize + global_thread(); i < count; i += all_threads()) {
    const T result = reduced_element<T, Combine>(buffers, i);
    for (int k = 0; k < buffers.outputs; ++k) static_cast<T*>(buffers.output[k])[i] = result;
  }
}

template <class T>
void reduce(ReduceOp op, const RankBuffers& buffers, std::int64_t count) {
  bool packed = true;
  for (int i = 0; i < buffers.inputs; ++i) packed = packed && fits_packs<T>(0, buffers.input[i]);
  for (int i = 0; i < buffers.outputs; ++i) packed = packed && fits_packs<T>(0, buffers.output[i]);
  const unsigned blocks = element_blocks(packed ? count / Pack<T>::kSize + 1 : count);
  if (op == ReduceOp::Sum) {
    launch("rank_reduce", blocks, kElementThreads, 0, rank_reduce_kernel<T, Sum>, count, packed,
           buffers);
  } else {
    launch("rank_reduce", blocks, kElementThreads, 0, rank_reduce_kernel<T, Max>, count, packed,
           buffers);
  }
}

}  // namespace

void reduce_over_ranks(DType dtype, ReduceOp op, const std::vector<const void*>& inputs,
                       const std::vector<void*>& outputs, std::int64_t count) {
  if (count == 0) return;
  require(inputs.size() <= kMostReducedRanks && outputs.size() <= kMostReducedRanks,
          "reduce_over_ranks", "{} ranks reduce CUDA tensors; {} can", inputs.size(),
          kMostReducedRanks);
  RankBuffers buffers;
  for (const void* input : inputs) buffers.input[buffers.inputs++] = input;
  for (void* output : outputs) buffers.output[buffers.outputs++] = output;
  if (dtype == DType::Int32) {
    reduce<std::int32_t>(op, buffers, count);
  } else {
    dispatch_element(dtype, "reduce_over_ranks",
                     [&](auto type) { reduce<decltype(type)>(op, buffers, count); });
  }
}

}  // namespace shardgrad::cuda
