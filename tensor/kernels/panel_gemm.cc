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
// Rows of a that are multiplied by a panel at a time.
constexpr std::int64_t kBlockRows = 256;
// A thread has at least so many columns, or rows, of c.
constexpr std::int64_t kLeastColumns = 96, kLeastRows = 256;
// With fewer rows of a, bringing b into order takes what it gains.
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
        columns_(std::min(kPanelColumns, problem.n)),
        leading_(columns_ + kPadding),
        sum_(equal_parts(problem.k, kPanelSum, kVectorLanes<float>)),
        panel_(Tensor::empty({std::min(sum_, problem.k) * leading_})) {}

  // That part of c; a dnnl_status_t.
  int multiply(const GemmBlock& part) {
    const std::int64_t width = equal_parts(part.columns, kPanelColumns, kVectorLanes<float>);
    for (std::int64_t done = 0; done < part.columns; done += width) {
      const GemmBlock strip{part.row, part.column + done, part.rows,
                            std::min(width, part.columns - done)};
      if (const int status = multiply_strip(strip); status != dnnl_success) return status;
    }
    return dnnl_success;
  }

 private:
  // Columns of c that one panel is for.
  int multiply_strip(const GemmBlock& strip) {
    const std::int64_t height = equal_parts(strip.rows, kBlockRows, 1);
    for (std::int64_t term = 0; term < problem_.k; term += sum_) {
      const std::int64_t terms = std::min(sum_, problem_.k - term);
      transpose_into(b_ + strip.column * problem_.b.leading + term, problem_.b.leading,
                     strip.columns, terms, panel_.data<float>(), leading_);
      for (std::int64_t done = 0; done < strip.rows; done += height) {
        const GemmBlock block{strip.row + done, strip.column, std::min(height, strip.rows - done),
                              strip.columns};
        const float beta = problem_.accumulate || term > 0 ? 1.0f : 0.0f;
        const int status = dnnl_sgemm(
            'N', 'N', block.rows, block.columns, terms, 1.0f,
            a_ + block.row * problem_.a.leading + term, problem_.a.leading, panel_.data<float>(),
            leading_, beta, c_ + block.row * problem_.c.leading + block.column, problem_.c.leading);
        if (status != dnnl_success) return status;
        if (term + terms == problem_.k) done_(block);
      }
    }
    return dnnl_success;
  }

  const GemmProblem& problem_;
  const float* a_;
  const float* b_;
  float* c_;
  const BlockDone& done_;
  std::int64_t columns_, leading_, sum_;
  Tensor panel_;
};

bool has_columns_for_all(const GemmProblem& problem) {
  return problem.n >= problem.threads * kLeastColumns;
}

}  // namespace

bool prefers_panels(const GemmProblem& problem) {
  return problem.dtype == DType::Float32 && problem.a.row_major && !problem.b.row_major &&
         problem.m >= kWorthwhileRows && problem.n >= 64 && problem.k >= 64 && is_intel() &&
         has_avx512() &&
         (has_columns_for_all(problem) || problem.m >= problem.threads * kLeastRows);
}

void multiply_by_panels(const GemmProblem& problem, const Tensor& a, const Tensor& b, Tensor& c,
                        const BlockDone& done) {
  std::atomic<int> status{dnnl_success};
  const auto multiply = [&](const GemmBlock& part) {
    const int outcome = PanelProducts(problem, a, b, c, done).multiply(part);
    if (outcome != dnnl_success) status = outcome;
  };
  if (has_columns_for_all(problem)) {
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
