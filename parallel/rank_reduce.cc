#include "parallel/rank_reduce.h"

#include <algorithm>

#include "tensor/parallel_for.h"

namespace shardgrad {
namespace {

// The total of a block stays in the L1 cache beside the same block of one input.
constexpr std::int64_t kBlockBytes = 4096;
// Less than this is reduced sooner than a second thread starts.
constexpr std::int64_t kBytesPerThread = 256 * 1024;

// bfloat16 is combined in float32 and rounded once.
template <class T, class Combine>
void reduce_blocks(const std::vector<const void*>& inputs, const std::vector<void*>& outputs,
                   std::int64_t begin, std::int64_t end, Combine combine) {
  using A = Accumulator<T>;
  constexpr std::int64_t kBlock = kBlockBytes / static_cast<std::int64_t>(sizeof(A));
  alignas(64) A total[kBlock];
  for (std::int64_t start = begin; start < end; start += kBlock) {
    const std::int64_t length = std::min(kBlock, end - start);
    const T* first = static_cast<const T*>(inputs[0]) + start;
    const T* second = static_cast<const T*>(inputs[1]) + start;
#pragma omp simd
    for (std::int64_t i = 0; i < length; ++i) total[i] = combine(widen(first[i]), widen(second[i]));
    for (std::size_t rank = 2; rank < inputs.size(); ++rank) {
      const T* next = static_cast<const T*>(inputs[rank]) + start;
#pragma omp simd
      for (std::int64_t i = 0; i < length; ++i) total[i] = combine(total[i], widen(next[i]));
    }
    for (void* output : outputs) {
      T* const result = static_cast<T*>(output) + start;
#pragma omp simd
      for (std::int64_t i = 0; i < length; ++i) store(result[i], total[i]);
    }
  }
}

template <class T>
void reduce(ReduceOp op, const std::vector<const void*>& inputs, const std::vector<void*>& outputs,
            std::int64_t count) {
  const std::int64_t grain = kBytesPerThread / static_cast<std::int64_t>(sizeof(T));
  parallel_for(count, grain, [&](std::int64_t begin, std::int64_t end) {
    if (op == ReduceOp::Sum) {
      reduce_blocks<T>(inputs, outputs, begin, end, [](auto a, auto b) { return a + b; });
    } else {
      // b != b holds for NaN only; a NaN in a stays, since b > NaN does not hold.
      reduce_blocks<T>(inputs, outputs, begin, end,
                       [](auto a, auto b) { return b > a || b != b ? b : a; });
    }
  });
}

}  // namespace

void reduce_over_ranks(DType dtype, ReduceOp op, const std::vector<const void*>& inputs,
                       const std::vector<void*>& outputs, std::int64_t count) {
  switch (dtype) {
    case DType::Float32:
      return reduce<float>(op, inputs, outputs, count);
    case DType::Float64:
      return reduce<double>(op, inputs, outputs, count);
    case DType::Int32:
      return reduce<std::int32_t>(op, inputs, outputs, count);
    case DType::BFloat16:
      return reduce<BFloat16>(op, inputs, outputs, count);
  }
}

}  // namespace shardgrad
