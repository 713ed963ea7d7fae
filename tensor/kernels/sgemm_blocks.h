// float32 products by oneDNN's sgemm, block by block of the result.
#pragma once

#include <oneapi/dnnl/dnnl.h>

#include <algorithm>
#include <atomic>

#include "tensor/kernels/gemm_problem.h"
#include "tensor/kernels/row_order.h"
#include "tensor/parallel_for.h"
#include "tensor/round_up.h"

namespace shardgrad::cpu {

/// The length of equal parts of `count`, a multiple of `unit`, with at most `most`, itself such a
/// multiple, in each; the last may be shorter.
inline std::int64_t equal_parts(std::int64_t count, std::int64_t most, std::int64_t unit) {
  return round_up(parts_of(count, parts_of(count, most)), unit);
}

/// A matrix cut into blocks of `rows` x `columns`, counted down the first columns, then down the
/// next.
class BlockGrid {
 public:
  BlockGrid(std::int64_t all_rows, std::int64_t all_columns, std::int64_t rows,
            std::int64_t columns)
      : all_rows_(all_rows), all_columns_(all_columns), rows_(rows), columns_(columns) {}

  std::int64_t rows() const { return rows_; }
  std::int64_t columns() const { return columns_; }
  std::int64_t count() const {
    return parts_of(all_rows_, rows_) * parts_of(all_columns_, columns_);
  }

  GemmBlock at(std::int64_t index) const {
    const std::int64_t below = parts_of(all_rows_, rows_);
    const std::int64_t row = index % below * rows_, column = index / below * columns_;
    return {row, column, std::min(rows_, all_rows_ - row),
            std::min(columns_, all_columns_ - column)};
  }

  /// Whether `threads` can share the blocks out: with fewer than two for each, oneDNN's own split
  /// of the whole product keeps more of them busy.
  bool is_enough_for(int threads) const { return count() >= 2 * threads; }

 private:
  std::int64_t all_rows_, all_columns_;
  std::int64_t rows_, columns_;
};

/// @throws Error that names the factors' shapes, unless `status` is dnnl_success.
inline void require_multiplied(int status, const Tensor& a, const Tensor& b) {
  require(status == dnnl_success, "gemm", "oneDNN cannot multiply {} by {}: status {}; expected 0",
          a.shape().to_string(), b.shape().to_string(), status);
}

/// Calls make_products() on each thread, and what that returns for one block after another, until
/// the threads have shared out all of `grid`. The calls return a dnnl_status_t, as does this: a
/// failure's, if there was one.
template <class MakeProducts>
int multiply_blocks(const BlockGrid& grid, const MakeProducts& make_products) {
  std::atomic<int> status{dnnl_success};
  parallel_pieces(grid.count(), [&](const auto& take) {
    auto multiply = make_products();
    for (std::int64_t index = take(); index >= 0; index = take()) {
      const int outcome = multiply(grid.at(index));
      if (outcome != dnnl_success) status = outcome;
    }
  });
  return status;
}

/// c [rows, columns] (+)= a [rows, terms] b [terms, columns], on the calling thread when the loops
/// of others run beside it; a dnnl_status_t.
inline int multiply_in_row_order(std::int64_t rows, std::int64_t columns, std::int64_t terms,
                                 const Rows& a, const Rows& b, bool accumulate, float* c,
                                 std::int64_t c_leading) {
  return dnnl_sgemm('N', 'N', rows, columns, terms, 1.0f, a.data, a.leading, b.data, b.leading,
                    accumulate ? 1.0f : 0.0f, c, c_leading);
}

}  // namespace shardgrad::cpu
