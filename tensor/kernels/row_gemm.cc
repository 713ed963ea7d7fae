#include "tensor/kernels/row_gemm.h"

#include "tensor/kernels/processor.h"
#include "tensor/kernels/sgemm_blocks.h"

namespace shardgrad::cpu {
namespace {

// Rows of a that are multiplied at a time: as they lie, fewer for few rows, and transposed.
constexpr std::int64_t kRows = 128, kLeastRows = 64, kTurnedRows = 96;
// So many terms of the sums of transposed rows are brought into order at a time, and multiplied by
// so many columns of b: 98 and 393 kB.
constexpr std::int64_t kTurnedSum = 256, kTurnedColumns = 384;
// Blocks for each thread, so that a slow core can leave some to the others.
constexpr std::int64_t kBlocksPerThread = 4;

// Blocks of rows; where those are few and transposed, also of columns.
BlockGrid grid_of(const GemmProblem& problem) {
  const std::int64_t wanted = kBlocksPerThread * problem.threads;
  if (problem.a.row_major) {
    const std::int64_t most = std::clamp(parts_of(problem.m, wanted), kLeastRows, kRows);
    return {problem.m, problem.n, equal_parts(problem.m, most, 1), problem.n};
  }
  const std::int64_t rows = equal_parts(problem.m, kTurnedRows, 1);
  const std::int64_t strips = parts_of(problem.n, kTurnedColumns);
  const std::int64_t strips_of_block =
      parts_of(strips, parts_of(wanted, parts_of(problem.m, rows)));
  return {problem.m, problem.n, rows,
          equal_parts(problem.n, strips_of_block * kTurnedColumns, kVectorLanes<float>)};
}

// The products of one thread.
class RowProducts {
 public:
  RowProducts(const GemmProblem& problem, const Tensor& a, const Tensor& b, Tensor& c,
              std::int64_t rows)
      : problem_(problem),
        a_{a.data<float>(), problem.a.leading},
        b_{b.data<float>(), problem.b.leading},
        c_(c.data<float>()) {
    if (!problem.a.row_major) {
      turned_leading_ = std::min(kTurnedSum, problem.k) + kRowPadding;
      turned_ = Tensor::empty({rows * turned_leading_});
    }
  }

  // A dnnl_status_t.
  int operator()(const GemmBlock& block) {
    if (problem_.a.row_major) {
      const Rows a{a_.data + block.row * a_.leading, a_.leading};
      return add_products(block, a, 0, problem_.k);
    }
    Rows turned{turned_.data<float>(), turned_leading_};
    for (std::int64_t first = 0; first < problem_.k; first += kTurnedSum) {
      const std::int64_t terms = std::min(kTurnedSum, problem_.k - first);
      transpose_into({a_.data + first * a_.leading + block.row, a_.leading}, terms, block.rows,
                     turned_.data<float>(), turned_leading_);
      const std::int64_t width = equal_parts(block.columns, kTurnedColumns, kVectorLanes<float>);
      for (std::int64_t done = 0; done < block.columns; done += width) {
        const GemmBlock strip{block.row, block.column + done, block.rows,
                              std::min(width, block.columns - done)};
        if (const int status = add_products(strip, turned, first, terms); status != dnnl_success) {
          return status;
        }
      }
    }
    return dnnl_success;
  }

 private:
  // `terms` terms of the block's sums, from `first` on; `a` begins with the first of them.
  int add_products(const GemmBlock& block, const Rows& a, std::int64_t first, std::int64_t terms) {
    return multiply_in_row_order(
        block.rows, block.columns, terms, a,
        {b_.data + first * b_.leading + block.column, b_.leading}, problem_.accumulate || first > 0,
        c_ + block.row * problem_.c.leading + block.column, problem_.c.leading);
  }

  const GemmProblem& problem_;
  Rows a_, b_;
  float* c_;
  std::int64_t turned_leading_ = 0;
  Tensor turned_;
};

}  // namespace

bool prefers_rows(const GemmProblem& problem) {
  if (problem.dtype != DType::Float32 || !problem.b.row_major || problem.bias || !is_intel() ||
      !has_avx512() || std::min({problem.m, problem.n, problem.k}) < 64) {
    return false;
  }
  // Every block of transposed rows reads all of b, which takes long where b is large, or its rows
  // begin a multiple of 4 KiB apart and so fall on few lines of the caches.
  constexpr std::int64_t kPage = 1024;
  const bool reads_b_well =
      problem.a.row_major || (problem.b.leading < 2 * kPage && problem.b.leading % kPage != 0);
  return reads_b_well && grid_of(problem).is_enough_for(problem.threads);
}

void multiply_by_rows(const GemmProblem& problem, const Tensor& a, const Tensor& b, Tensor& c) {
  const BlockGrid grid = grid_of(problem);
  const int status =
      multiply_blocks(grid, [&] { return RowProducts(problem, a, b, c, grid.rows()); });
  require_multiplied(status, a, b);
}

}  // namespace shardgrad::cpu
