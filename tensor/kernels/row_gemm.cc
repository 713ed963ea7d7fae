#include "tensor/kernels/row_gemm.h"

#include <atomic>

#include "tensor/kernels/processor.h"
#include "tensor/kernels/row_order.h"
#include "tensor/parallel_for.h"

namespace shardgrad::cpu {
namespace {

// Rows of a that are multiplied at a time: as they lie, fewer for few rows, and transposed.
constexpr std::int64_t kRows = 128, kLeastRows = 64, kTurnedRows = 96;
// So many terms of the sums of transposed rows are brought into order at a time, and multiplied by
// so many columns of b: 98 and 393 kB.
constexpr std::int64_t kTurnedSum = 256, kTurnedColumns = 384;
// Blocks for each thread, so that a slow core can leave some to the others.
constexpr std::int64_t kBlocksPerThread = 4;

// How c is cut into blocks: by rows, and where those are few and transposed by columns too.
struct Blocks {
  explicit Blocks(const GemmProblem& problem)
      : all_rows(problem.m), all_columns(problem.n), rows(kTurnedRows), columns(problem.n) {
    const std::int64_t wanted = kBlocksPerThread * problem.threads;
    if (problem.a.row_major) rows = std::clamp(parts_of(problem.m, wanted), kLeastRows, kRows);
    rows = equal_parts(problem.m, rows, 1);
    of_rows = parts_of(problem.m, rows);
    if (!problem.a.row_major && of_rows < wanted) {
      const std::int64_t strips = parts_of(problem.n, kTurnedColumns);
      columns = equal_parts(problem.n, parts_of(strips, parts_of(wanted, of_rows)) * kTurnedColumns,
                            kVectorLanes<float>);
    }
    count = of_rows * parts_of(problem.n, columns);
  }

  GemmBlock at(std::int64_t index) const {
    const std::int64_t row = index % of_rows * rows, column = index / of_rows * columns;
    return {row, column, std::min(rows, all_rows - row), std::min(columns, all_columns - column)};
  }

  std::int64_t all_rows, all_columns;
  std::int64_t rows, columns;
  std::int64_t of_rows, count;
};

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
  int multiply(const GemmBlock& block) {
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
  return problem.a.row_major || (problem.b.leading < 2 * kPage && problem.b.leading % kPage != 0);
}

void multiply_by_rows(const GemmProblem& problem, const Tensor& a, const Tensor& b, Tensor& c) {
  std::atomic<int> status{dnnl_success};
  const Blocks blocks(problem);
  parallel_pieces(blocks.count, [&](const auto& take) {
    RowProducts products(problem, a, b, c, blocks.rows);
    for (std::int64_t index = take(); index >= 0; index = take()) {
      const int outcome = products.multiply(blocks.at(index));
      if (outcome != dnnl_success) status = outcome;
    }
  });
  require(status == dnnl_success, "gemm", "oneDNN cannot multiply {} by {}: status {}; expected 0",
          a.shape().to_string(), b.shape().to_string(), status.load());
}

}  // namespace shardgrad::cpu
