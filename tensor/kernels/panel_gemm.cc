#include "tensor/kernels/panel_gemm.h"

#include "tensor/kernels/processor.h"
#include "tensor/kernels/sgemm_blocks.h"

namespace shardgrad::cpu {
namespace {

// A panel has at most so many columns, and rows for a sum of at most so many terms: 1.2 MB.
constexpr std::int64_t kPanelColumns = 192, kPanelSum = 1536;
// Rows of a that are multiplied by a panel at a time.
constexpr std::int64_t kBlockRows = 128;

BlockGrid grid_of(const GemmProblem& problem) {
  return {problem.m, problem.n, equal_parts(problem.m, kBlockRows, 1),
          equal_parts(problem.n, kPanelColumns, kVectorLanes<float>)};
}

// What one thread adds to c: `terms` terms of its sums, from `first` on; after the last of them, a
// block is done.
class PanelProducts {
 public:
  PanelProducts(const GemmProblem& problem, const Tensor& a, const Tensor& b, Tensor& c,
                const BlockDone& done, std::int64_t first, std::int64_t terms)
      : problem_(problem),
        a_(a.data<float>()),
        b_(b.data<float>()),
        c_(c.data<float>()),
        done_(done),
        first_(first),
        terms_(terms),
        leading_(std::min(kPanelColumns, problem.n) + kRowPadding),
        panel_(Tensor::empty({terms * leading_})) {}

  // A dnnl_status_t.
  int operator()(const GemmBlock& block) {
    if (block.column != panel_column_) fill_panel(block);
    const std::int64_t leading = problem_.a.leading;
    const int status = multiply_in_row_order(
        block.rows, block.columns, terms_, {a_ + block.row * leading + first_, leading},
        {panel_.data<float>(), leading_}, problem_.accumulate || first_ > 0,
        c_ + block.row * problem_.c.leading + block.column, problem_.c.leading);
    if (first_ + terms_ == problem_.k) done_(block);
    return status;
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
  const BlockDone& done_;
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
  return problem.m >= kWorthwhileRows && (!problem.b.row_major || problem.b.leading >= kPage) &&
         grid_of(problem).is_enough_for(problem.threads);
}

void multiply_by_panels(const GemmProblem& problem, const Tensor& a, const Tensor& b, Tensor& c,
                        const BlockDone& done) {
  const BlockGrid grid = grid_of(problem);
  const std::int64_t sum = equal_parts(problem.k, kPanelSum, kVectorLanes<float>);
  for (std::int64_t first = 0; first < problem.k; first += sum) {
    const std::int64_t terms = std::min(sum, problem.k - first);
    const int status =
        multiply_blocks(grid, [&] { return PanelProducts(problem, a, b, c, done, first, terms); });
    require_multiplied(status, a, b);
  }
}

}  // namespace shardgrad::cpu
