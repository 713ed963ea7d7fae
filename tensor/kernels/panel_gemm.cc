#include "tensor/kernels/panel_gemm.h"

#include <oneapi/dnnl/dnnl.h>

#include <algorithm>
#include <atomic>

#include "tensor/kernels/processor.h"
#include "tensor/kernels/small_products.h"
#include "tensor/parallel_for.h"

namespace shardgrad::cpu {
namespace {

// A panel has at most so many columns, and rows for a sum of at most so many terms: 1.2 MB.
constexpr std::int64_t kPanelColumns = 192, kPanelSum = 1536;
// A transposed left factor is brought into order by so many rows and terms at most: 0.8 MB.
constexpr std::int64_t kTurnedRows = 768, kTurnedSum = 256;
// Rows of a that are multiplied by a panel at a time.
constexpr std::int64_t kBlockRows = 256;
// A thread has at least so many columns, or rows, of c.
constexpr std::int64_t kLeastColumns = 96, kLeastRows = 256;
// With fewer rows of a, bringing b into order takes what it gains, unless the rows of b collide in
// the first cache as they lie.
constexpr std::int64_t kWorthwhileRows = 512;
// Rows of a panel that lie a multiple of 4 KiB apart would fall on few lines of the first cache.
constexpr std::int64_t kPadding = 16;

std::int64_t ceiling(std::int64_t count, std::int64_t part) { return (count + part - 1) / part; }

// The length of equal parts of `count`, a multiple of `unit`, with at most `most` in each.
std::int64_t equal_parts(std::int64_t count, std::int64_t most, std::int64_t unit) {
  return ceiling(ceiling(count, ceiling(count, most)), unit) * unit;
}

// to [columns, rows] = the transpose of from [rows, columns].
void transpose_into(const float* from, std::int64_t from_leading, std::int64_t rows,
                    std::int64_t columns, float* to, std::int64_t to_leading) {
  constexpr std::int64_t kTile = kVectorLanes<float>;
  const std::int64_t tiled_rows = rows / kTile * kTile, tiled_columns = columns / kTile * kTile;
  for (std::int64_t row = 0; row < tiled_rows; row += kTile) {
    for (std::int64_t column = 0; column < tiled_columns; column += kTile) {
      transpose_tile(from + row * from_leading + column, from_leading,
                     to + column * to_leading + row, to_leading);
    }
  }
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t column = row < tiled_rows ? tiled_columns : 0; column < columns; ++column) {
      to[column * to_leading + row] = from[row * from_leading + column];
    }
  }
}

// to [rows, columns] = from [rows, columns].
void copy_into(const float* from, std::int64_t from_leading, std::int64_t rows,
               std::int64_t columns, float* to, std::int64_t to_leading) {
  for (std::int64_t row = 0; row < rows; ++row) {
    std::copy_n(from + row * from_leading, columns, to + row * to_leading);
  }
}

// A row-major matrix.
struct Rows {
  const float* data;
  std::int64_t leading;
};

// The products of one thread.
class PanelProducts {
 public:
  PanelProducts(const GemmProblem& problem, const Tensor& a, const Tensor& b, Tensor& c,
                const BlockDone& done)
      : problem_(problem),
        a_(a.data<float>()),
        b_(b.data<float>()),
        c_(c.data<float>()),
        done_(done),
        leading_(std::min(kPanelColumns, problem.n) + kPadding),
        sum_(equal_parts(problem.k, problem.a.row_major ? kPanelSum : kTurnedSum,
                         kVectorLanes<float>)),
        panel_(Tensor::empty({std::min(sum_, problem.k) * leading_})) {
    if (!problem.a.row_major) {
      turned_ = Tensor::empty({std::min(kTurnedRows, problem.m) * (sum_ + kPadding)});
    }
  }

  // That part of c; a dnnl_status_t.
  int multiply(const GemmBlock& part) {
    const std::int64_t height =
        problem_.a.row_major ? part.rows : equal_parts(part.rows, kTurnedRows, 1);
    for (std::int64_t done = 0; done < part.rows; done += height) {
      const GemmBlock rows{part.row + done, part.column, std::min(height, part.rows - done),
                           part.columns};
      for (std::int64_t term = 0; term < problem_.k; term += sum_) {
        if (const int status = add_terms(rows, term); status != dnnl_success) return status;
      }
    }
    return dnnl_success;
  }

 private:
  // The terms of the sums from `term` on that one panel holds.
  int add_terms(const GemmBlock& part, std::int64_t term) {
    const std::int64_t terms = std::min(sum_, problem_.k - term);
    const Rows left = left_rows(part, term, terms);
    const std::int64_t width = equal_parts(part.columns, kPanelColumns, kVectorLanes<float>);
    for (std::int64_t done = 0; done < part.columns; done += width) {
      const GemmBlock strip{part.row, part.column + done, part.rows,
                            std::min(width, part.columns - done)};
      fill_panel(strip, term, terms);
      if (const int status = multiply_strip(strip, left, term, terms); status != dnnl_success) {
        return status;
      }
    }
    return dnnl_success;
  }

  // Those terms of the rows of a: where they lie, or brought into order.
  Rows left_rows(const GemmBlock& part, std::int64_t term, std::int64_t terms) {
    const std::int64_t leading = problem_.a.leading;
    if (problem_.a.row_major) return {a_ + part.row * leading + term, leading};
    float* const turned = turned_.data<float>();
    transpose_into(a_ + term * leading + part.row, leading, terms, part.rows, turned,
                   sum_ + kPadding);
    return {turned, sum_ + kPadding};
  }

  void fill_panel(const GemmBlock& strip, std::int64_t term, std::int64_t terms) {
    const std::int64_t leading = problem_.b.leading;
    float* const panel = panel_.data<float>();
    if (problem_.b.row_major) {
      copy_into(b_ + term * leading + strip.column, leading, terms, strip.columns, panel, leading_);
    } else {
      transpose_into(b_ + strip.column * leading + term, leading, strip.columns, terms, panel,
                     leading_);
    }
  }

  int multiply_strip(const GemmBlock& strip, const Rows& left, std::int64_t term,
                     std::int64_t terms) {
    const std::int64_t height = equal_parts(strip.rows, kBlockRows, 1);
    const float beta = problem_.accumulate || term > 0 ? 1.0f : 0.0f;
    for (std::int64_t done = 0; done < strip.rows; done += height) {
      const GemmBlock block{strip.row + done, strip.column, std::min(height, strip.rows - done),
                            strip.columns};
      const int status =
          dnnl_sgemm('N', 'N', block.rows, block.columns, terms, 1.0f,
                     left.data + done * left.leading, left.leading, panel_.data<float>(), leading_,
                     beta, c_ + block.row * problem_.c.leading + block.column, problem_.c.leading);
      if (status != dnnl_success) return status;
      if (term + terms == problem_.k) done_(block);
    }
    return dnnl_success;
  }

  const GemmProblem& problem_;
  const float* a_;
  const float* b_;
  float* c_;
  const BlockDone& done_;
  std::int64_t leading_, sum_;
  Tensor panel_, turned_;
};

// Whether the threads share out the columns of c. With a transposed left factor, which each thread
// brings into order for itself, they share out the longer side, so that less is copied twice.
bool shares_columns(const GemmProblem& problem) {
  if (problem.n < problem.threads * kLeastColumns) return false;
  return problem.a.row_major || problem.n > problem.m;
}

}  // namespace

bool prefers_panels(const GemmProblem& problem) {
  if (problem.dtype != DType::Float32 || std::min({problem.m, problem.n, problem.k}) < 64 ||
      !is_intel() || !has_avx512()) {
    return false;
  }
  if (!problem.a.row_major) return problem.b.row_major;
  const bool collides = problem.b.row_major && problem.b.leading % 1024 == 0;
  return problem.m >= (collides ? kLeastRows : kWorthwhileRows) &&
         (shares_columns(problem) || problem.m >= problem.threads * kLeastRows);
}

void multiply_by_panels(const GemmProblem& problem, const Tensor& a, const Tensor& b, Tensor& c,
                        const BlockDone& done) {
  std::atomic<int> status{dnnl_success};
  const auto multiply = [&](const GemmBlock& part) {
    const int outcome = PanelProducts(problem, a, b, c, done).multiply(part);
    if (outcome != dnnl_success) status = outcome;
  };
  if (shares_columns(problem)) {
    constexpr std::int64_t kUnit = kVectorLanes<float>;
    parallel_for(ceiling(problem.n, kUnit), 1, [&](std::int64_t begin, std::int64_t end) {
      multiply({0, begin * kUnit, problem.m, std::min(end * kUnit, problem.n) - begin * kUnit});
    });
  } else {
    parallel_for(problem.m, 1, [&](std::int64_t begin, std::int64_t end) {
      multiply({begin, 0, end - begin, problem.n});
    });
  }
  require(status == dnnl_success, "gemm", "oneDNN cannot multiply {} by {}: status {}; expected 0",
          a.shape().to_string(), b.shape().to_string(), status.load());
}

}  // namespace shardgrad::cpu
