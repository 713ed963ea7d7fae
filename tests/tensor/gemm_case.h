// Products for the tests of single ways to multiply, whatever the processor prefers.
#pragma once

#include <cmath>
#include <cstdint>

#include "tensor/kernels/gemm_problem.h"
#include "tensor/parallel_for.h"
#include "tests/support/reference.h"

namespace shardgrad::reference {

/// The extents of a product c [m, n] = a [m, k] b [k, n], and how many threads compute it.
struct GemmCase {
  std::int64_t m, n, k;
  int threads;
};

/// While it lives, kernels called from this thread have so many threads.
class IntraOpThreads {
 public:
  explicit IntraOpThreads(int threads) { set_intra_op_threads(threads); }
  ~IntraOpThreads() { set_intra_op_threads(before_); }
  IntraOpThreads(const IntraOpThreads&) = delete;
  IntraOpThreads& operator=(const IntraOpThreads&) = delete;

 private:
  int before_ = intra_op_threads();
};

/// A matrix with NaN around it, so that reading beyond its ends shows.
inline Tensor surrounded(std::int64_t rows, std::int64_t columns, std::uint64_t seed) {
  const Tensor all = Tensor::full({rows + 2, columns + 5}, std::nan(""));
  Tensor view = all.slice(0, 1, rows).slice(1, 2, columns);
  view.copy_from(random_tensor({rows, columns}, DType::Float32, seed));
  return view;
}

/// The same [rows, columns] in memory row by row, or, `transposed`, column by column.
inline Tensor surrounded(std::int64_t rows, std::int64_t columns, std::uint64_t seed,
                         bool transposed) {
  return transposed ? surrounded(columns, rows, seed).transpose(0, 1)
                    : surrounded(rows, columns, seed);
}

inline cpu::GemmProblem float_problem(const Tensor& a, const Tensor& b, const Tensor& c,
                                      bool accumulate) {
  return {c.size(0),         c.size(1),  a.size(1),      layout_of(a, "a"), layout_of(b, "b"),
          layout_of(c, "c"),
          /*bias=*/false,    accumulate, DType::Float32, DType::Float32,    intra_op_threads()};
}

}  // namespace shardgrad::reference
