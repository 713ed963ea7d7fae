#include "tensor/cuda/elements.cuh"
#include "tensor/kernels/embedding.h"
#include "tensor/round_up.h"

namespace shardgrad::cuda {
namespace {

constexpr int kScanThreads = 1024;

template <class T>
__global__ void embedding_forward_kernel(std::int64_t tokens, std::int64_t columns, bool packed,
                                         const std::int32_t* ids, std::int64_t first_row,
                                         std::int64_t rows, const T* table, T* out) {
  const int width = packed ? Pack<T>::kSize : 1;
  const std::int64_t pieces = columns / width;
  for (std::int64_t i = global_thread(); i < tokens * pieces; i += all_threads()) {
    const std::int64_t token = i / pieces;
    const std::int64_t column = i % pieces * width;
    const std::int64_t row = ids[token] - first_row;
    const bool here = row >= 0 && row < rows;
    if (packed) {
      store_pack(out + token * columns + column,
                 here ? load_pack(table + row * columns + column) : Pack<T>{});
    } else {
      out[token * columns + column] =
          here ? table[row * columns + column] : narrow<T>(Accumulator<T>(0));
    }
  }
}

// The backward pass sorts the tokens by their row, and by position within a row, so that each row
// of the table sums its gradients in that order and the result repeats bit for bit. The counts are
// integers, whose atomic sums do not depend on the order.

__global__ void count_kernel(std::int64_t tokens, const std::int32_t* ids, std::int64_t first_row,
                             std::int64_t rows, std::int32_t* counts) {
  for (std::int64_t i = global_thread(); i < tokens; i += all_threads()) {
    const std::int64_t row = ids[i] - first_row;
    if (row >= 0 && row < rows) atomicAdd(&counts[row], 1);
  }
}

// begins[r] = counts[0] + ... + counts[r - 1], for r in [0, rows]; cursors are the same. One block:
// a thread sums a run of rows, then the threads' sums are scanned.
__global__ void scan_kernel(std::int64_t rows, const std::int32_t* counts, std::int32_t* begins,
                            std::int32_t* cursors) {
  __shared__ std::int32_t sums[kScanThreads];
  const int thread = static_cast<int>(threadIdx.x);
  const std::int64_t run = parts_of(rows, kScanThreads);
  const std::int64_t first = min(thread * run, rows);
  const std::int64_t last = min(first + run, rows);
  std::int32_t own = 0;
  for (std::int64_t row = first; row < last; ++row) own += counts[row];
  sums[thread] = own;
  __syncthreads();
  for (int distance = 1; distance < kScanThreads; distance *= 2) {
    const std::int32_t before = thread >= distance ? sums[thread - distance] : 0;
    __syncthreads();
    sums[thread] += before;
    __syncthreads();
  }
  std::int32_t begin = sums[thread] - own;
  for (std::int64_t row = first; row < last; ++row) {
    begins[row] = begin;
    cursors[row] = begin;
    begin += counts[row];
  }
  if (thread == kScanThreads - 1) begins[rows] = begin;
}

// Each row's tokens, side by side but in any order.
__global__ void place_kernel(std::int64_t tokens, const std::int32_t* ids, std::int64_t first_row,
                             std::int64_t rows, std::int32_t* cursors, std::int32_t* placed) {
  for (std::int64_t i = global_thread(); i < tokens; i += all_threads()) {
    const std::int64_t row = ids[i] - first_row;
    if (row >= 0 && row < rows) placed[atomicAdd(&cursors[row], 1)] = static_cast<std::int32_t>(i);
  }
}

// Puts each row's tokens in order: a token's place is the number of smaller ones.
__global__ void order_kernel(std::int64_t rows, const std::int32_t* ids, std::int64_t first_row,
                             const std::int32_t* begins, const std::int32_t* placed,
                             std::int32_t* ordered) {
  const std::int64_t count = begins[rows];
  for (std::int64_t i = global_thread(); i < count; i += all_threads()) {
    const std::int32_t token = placed[i];
    const std::int64_t row = ids[token] - first_row;
    std::int32_t place = begins[row];
    for (std::int32_t k = begins[row]; k < begins[row + 1]; ++k) place += placed[k] < token;
    ordered[place] = token;
  }
}

template <class T, class Out>
__global__ void add_gradients_kernel(std::int64_t columns, const std::int32_t* begins,
                                     const std::int32_t* ordered, const T* dy, Out* dtable) {
  const std::int64_t row = blockIdx.x;
  const std::int32_t begin = begins[row], end = begins[row + 1];
  if (begin == end) return;
  for (std::int64_t column = threadIdx.x; column < columns; column += blockDim.x) {
    Accumulator<T> sum = widen(dtable[row * columns + column]);
    for (std::int32_t k = begin; k < end; ++k) sum += widen(dy[ordered[k] * columns + column]);
    dtable[row * columns + column] = narrow<Out>(sum);
  }
}

}  // namespace

void embedding_forward(const Tensor& ids, const Tensor& table, std::int64_t first_row,
                       Tensor& out) {
  const std::int64_t columns = table.size(1);
  dispatch_element(table.dtype(), "embedding_forward", [&](auto type) {
    using T = decltype(type);
    const T* const source = device_data<T>(table);
    T* const result = device_data<T>(out);
    const bool packed = fits_packs<T>(columns, source, result);
    launch("embedding_forward", element_blocks(out.numel()), kElementThreads, 0,
           embedding_forward_kernel<T>, ids.numel(), columns, packed,
           device_data<std::int32_t>(ids), first_row, table.size(0), source, result);
  });
}

void embedding_backward(const Tensor& ids, const Tensor& dy, std::int64_t first_row,
                        Tensor& dtable) {
  constexpr const char* kName = "embedding_backward";
  const std::int64_t tokens = ids.numel();
  const std::int64_t rows = dtable.size(0), columns = dtable.size(1);
  if (tokens == 0 || rows == 0 || columns == 0) return;
  const Device device = dy.device();
  Tensor counts = Tensor::empty({rows}, DType::Int32, device);
  Tensor begins = Tensor::empty({rows + 1}, DType::Int32, device);
  Tensor cursors = Tensor::empty({rows}, DType::Int32, device);
  Tensor placed = Tensor::empty({tokens}, DType::Int32, device);
  Tensor ordered = Tensor::empty({tokens}, DType::Int32, device);
  std::int32_t* const count = device_data<std::int32_t>(counts);
  std::int32_t* const begin = device_data<std::int32_t>(begins);
  std::int32_t* const cursor = device_data<std::int32_t>(cursors);
  std::int32_t* const place = device_data<std::int32_t>(placed);
  std::int32_t* const order = device_data<std::int32_t>(ordered);
  const std::int32_t* const id = device_data<std::int32_t>(ids);
  check(cudaMemsetAsync(count, 0, static_cast<std::size_t>(rows) * sizeof(*count), stream()),
        "clearing the counts");
  const unsigned blocks = element_blocks(tokens);
  launch(kName, blocks, kElementThreads, 0, count_kernel, tokens, id, first_row, rows, count);
  launch(kName, 1, kScanThreads, 0, scan_kernel, rows, count, begin, cursor);
  launch(kName, blocks, kElementThreads, 0, place_kernel, tokens, id, first_row, rows, cursor,
         place);
  launch(kName, blocks, kElementThreads, 0, order_kernel, rows, id, first_row, begin, place, order);
  dispatch_element(dy.dtype(), kName, [&](auto type) {
    using T = decltype(type);
    using A = Accumulator<T>;
    const unsigned grid = static_cast<unsigned>(rows);
    const T* const gradient = device_data<T>(dy);
    if (dtable.dtype() == dy.dtype()) {
      launch(kName, grid, kElementThreads, 0, add_gradients_kernel<T, T>, columns, begin, order,
             gradient, device_data<T>(dtable));
    } else {
      launch(kName, grid, kElementThreads, 0, add_gradients_kernel<T, A>, columns, begin, order,
             gradient, device_data<A>(dtable));
    }
  });
}

}  // namespace shardgrad::cuda
