// Every region's backward pass is the adjoint of its forward pass: <F x, y> = <x, F* y>.
//
// The inner product is over what there is of a value: one that is replicated counts once, however
// many ranks hold it; where the ranks hold different ones, or parts, all count.
#include <gtest/gtest.h>

#include <cmath>
#include <ostream>
#include <string>

#include "autograd/functions/arithmetic.h"
#include "autograd/functions/linear.h"
#include "parallel/launch.h"
#include "parallel/regions.h"
#include "tests/support/backward_from.h"
#include "tests/support/reference.h"

namespace shardgrad {
namespace {

using reference::to_matrix;

constexpr std::int64_t kRows = 8, kColumns = 12;

enum class Ranks { Same, Different };

enum class Cut { None, Rows, Columns };

// A linear region; what lies on its two sides, and whether a rank holds all of it or 1 / tp.
struct Case {
  const char* name;
  Variable (*region)(Variable, Communicator&);
  Ranks before;
  Cut cut_before;
  Ranks after;
  Cut cut_after;
};

std::ostream& operator<<(std::ostream& out, const Case& region) { return out << region.name; }

// A region at a linear map's entrance: with the unit matrix behind it, the region itself.
Variable through_unit_matrix(Variable x, const InputRegion& region) {
  Tensor unit = Tensor::zeros({kColumns, kColumns}, DType::Float64);
  for (std::int64_t i = 0; i < kColumns; ++i) unit.data<double>()[i * (kColumns + 1)] = 1.0;
  return linear(x, Variable(unit), Variable(), region);
}

const Case kCases[] = {
    {"copy_to_tensor_parallel", copy_to_tensor_parallel, Ranks::Same, Cut::None, Ranks::Different,
     Cut::None},
    {"reduce_from_tensor_parallel", reduce_from_tensor_parallel, Ranks::Different, Cut::None,
     Ranks::Same, Cut::None},
    {"scatter_to_tensor_parallel", scatter_to_tensor_parallel, Ranks::Same, Cut::None,
     Ranks::Different, Cut::Columns},
    {"gather_from_tensor_parallel", gather_from_tensor_parallel, Ranks::Different, Cut::Columns,
     Ranks::Same, Cut::None},
    {"gather_from_sequence_parallel", gather_from_sequence_parallel, Ranks::Different, Cut::Rows,
     Ranks::Different, Cut::None},
    {"reduce_scatter_to_sequence_parallel", reduce_scatter_to_sequence_parallel, Ranks::Different,
     Cut::None, Ranks::Different, Cut::Rows},
    {"copied_input",
     [](Variable x, Communicator& group) {
       return through_unit_matrix(std::move(x), copied_input(group, nullptr));
     },
     Ranks::Same, Cut::None, Ranks::Different, Cut::None},
    {"gathered_input",
     [](Variable x, Communicator& group) {
       return through_unit_matrix(std::move(x), gathered_input(group, nullptr));
     },
     Ranks::Different, Cut::Rows, Ranks::Different, Cut::None},
};

Tensor numbers(Ranks ranks, Cut cut, std::uint64_t seed, const Communicator& group) {
  const int p = group.world_size();
  const Shape shape{kRows / (cut == Cut::Rows ? p : 1), kColumns / (cut == Cut::Columns ? p : 1)};
  return reference::random_tensor(shape, DType::Float64,
                                  seed + (ranks == Ranks::Different ? 10 * group.rank() : 0));
}

double inner_product(const Tensor& a, const Tensor& b, Ranks kind, Communicator& group) {
  Tensor total = Tensor::full({1}, to_matrix(a).cwiseProduct(to_matrix(b)).sum(), DType::Float64);
  if (kind == Ranks::Different) group.all_reduce(total);
  return total.item();
}

class AdjointTest : public ::testing::TestWithParam<std::tuple<Case, int>> {};

TEST_P(AdjointTest, Holds) {
  const auto& [test, ranks] = GetParam();
  run_ranks(ranks, 1, [&, &test = test](Communicator& group) {
    const Tensor x = numbers(test.before, test.cut_before, 100, group);
    const Tensor y = numbers(test.after, test.cut_after, 200, group);
    Variable leaf(x, true);
    const Variable image = test.region(scale(leaf, 1.0), group);
    const double forward = inner_product(image.value(), y, test.after, group);
    backward_from(image, y.clone());
    const double backward = inner_product(x, leaf.gradient(), test.before, group);
    EXPECT_NEAR(forward, backward, 1e-12 * to_matrix(x).norm() * to_matrix(y).norm());
    EXPECT_GT(std::abs(forward), 0.01) << "proves nothing";
  });
}

INSTANTIATE_TEST_SUITE_P(Regions, AdjointTest,
                         ::testing::Combine(::testing::ValuesIn(kCases),
                                            ::testing::Values(1, 2, 4)),
                         [](const auto& info) {
                           return std::get<0>(info.param).name + std::string("_") +
                                  std::to_string(std::get<1>(info.param));
                         });

}  // namespace
}  // namespace shardgrad
