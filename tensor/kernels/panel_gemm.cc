#include "tensor/kernels/panel_gemm.h"

#include <atomic>

#include "tensor/kernels/processor.h"
#include "tensor/kernels/row_order.h"
#include "tensor/parallel_for.h"

namespace shardgrad::cpu {
namespace {

// A panel has at most so many columns, and rows for a sum of at most so many terms: 1.2 MB.
constexpr std::int64_t kPanelColumns = 192, kPanelSum = 1536;
// Rows of a that are multiplied by a panel at a time.
constexpr std::int64_t kBlockRows = 128;

// c in blocks, one below the other, then the next panel's.
struct Blocks {
  explicit Blocks(const GemmProblem& problem)
      : all_rows(problem.m),
        all_columns(problem.n),
        rows(equal_parts(problem.m, kBlockRows, 1)),
        columns(equal_parts(problem.n, kPanelColumns, kVectorLanes<float>)),
        of_panel(parts_of(problem.m, rows)),
        count(of_panel * parts_of(problem.n, columns)) {}

  GemmBlock at(std::int64_t index) const {
    const std::int64_t row = index % of_panel * rows, column = index / of_panel * columns;
    return {row, column, std::min(rows, all_rows - row), std::min(columns, all_columns - column)};
  }

  std::int64_t all_rows, all_columns;
  std::int64_t rows, columns;
  std::int64_t of_panel, count;
};

// What one thread adds to c: `terms` terms of its sums, from `first` on.
class PanelProducts {
 public:
  PanelProducts(const GemmProblem& problem, const Tensor& a, const Tensor& b, Tensor& c,
                std::int64_t first, std::int64_t terms)
      : problem_(problem),
        a_(a.data<float>()),
        b_(b.data<float>()),
        c_(c.data<float>()),
        first_(first),
        terms_(terms),
        leading_(std::min(kPanelColumns, problem.n) + kRowPadding),
        panel_(Tensor::empty({terms * leading_})) {}

  // A dnnl_status_t.
  int add_to(const GemmBlock& block) {
    if (block.column != panel_column_) fill_panel(block);
    const std::int64_t leading = problem_.a.leading;
    return multiply_in_row_order(
        block.rows, block.columns, terms_, {a_ + block.row * leading + first_, leading},
        {panel_.data<float>(), leading_}, problem_.accumulate || first_ > 0,
        c_ + block.row * problem_.c.leading + block.column, problem_.c.leading);
  }

 private:
  void fill_panel(const GemmBlock& block) {
    const std::int64_t leading = problem_.b.leading;
    float* const panel = panel_.data<float>();
    if (problem_.b.row_major) {
      copy_into({b_ + first_ * leading + block.column, leading}, terms_, block.columns, panel,
                leading_);
    } else {
      transpose_into({b_ + block.column * leading + first_, leading}, block.columns, terms_, panel,
                     leading_);
    }
    panel_column_ = block.column;
  }

  const GemmProblem& problem_;
  const float* a_;
  const float* b_;
  float* c_;
  std::int64_t first_, terms_, leading_;
  Tensor panel_;
  std::int64_t panel_column_ = -1;
};

}  // namespace

bool prefers_panels(const GemmProblem& problem) {
  if (problem.dtype != DType::Float32 || !problem.a.row_major || !is_intel() || !has_avx512() ||
      std::min({problem.m, problem.n, problem.k}) < 64) {
    return false;
  }
  // With fewer rows of a, bringing b into order takes what it gains. Where it lies in row order
  // already, it gains if each row is in another page of memory.
  constexpr std::int64_t kWorthwhileRows = 256, kPage = 1024;
  return problem.m >= kWorthwhileRows && (!problem.b.row_major || problem.b.leading >= kPage);
}

void multiply_by_panels(const GemmProblem& problem, const Tensor& a, const Tensor& b, Tensor& c,
                        const BlockDone& done) {
  std::atomic<int> status{dnnl_success};
  const Blocks blocks(problem);
  const std::int64_t sum = equal_parts(problem.k, kPanelSum, kVectorLanes<float>);
  for (std::int64_t first = 0; first < problem.k; first += sum) {
    const std::int64_t terms = std::min(sum, problem.k - first);
    const bool last = first + terms == problem.k;
    parallel_pieces(blocks.count, [&](const auto& take) {
      PanelProducts products(problem, a, b, c, first, terms);
      for (std::int64_t index = take(); index >= 0; index = take()) {
        const GemmBlock block = blocks.at(index);
        const int outcome = products.add_to(block);
        if (outcome != dnnl_success) status = outcome;
        if (last) done(block);
      }
    });
  }
  require(status == dnnl_success, "gemm", "oneDNN cannot multiply {} by {}: status {}; expected 0",
          a.shape().to_string(), b.shape().to_string(), status.load());
}

}  // namespace shardgrad::cpu
