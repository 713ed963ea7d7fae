// The program that compares layouts: that it finds them equal, and that it would notice.
#include <cmath>
#include <limits>

#include "parallel/launch.h"
#include "tests/tools/run_program.h"
#include "tools/parity_run.h"

namespace shardgrad::tool_testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class ParityToolTest : public ToolTest {};

TEST_F(ParityToolTest, ComparesTheLayoutsThatItIsGiven) {
  const Result result = run("parity",
                            {"--layout=tp=2 sequence-parallel",
                             "--layout=dp=2 zero=1 recompute=block", "--n-layers=1", "--steps=2"},
                            folder_);
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_EQ(result.err, "");
  EXPECT_THAT(result.out, HasSubstr("tp=2 x dp=1, sequence-parallel "));
  EXPECT_THAT(result.out, HasSubstr("tp=1 x dp=2, recompute=block, zero=1 "));
  EXPECT_THAT(result.out, HasSubstr(" equal "));
  EXPECT_THAT(result.out, Not(HasSubstr("DIFFERS")));
  EXPECT_THAT(result.out, HasSubstr("reduce_scatter"));
}

TEST_F(ParityToolTest, WrongLayoutsAreErrorsThatShowTheSyntax) {
  const Result unknown = run("parity", {"--layout=tq=2"}, folder_);
  EXPECT_EQ(unknown.status, 1);
  EXPECT_THAT(unknown.err, HasSubstr("write it as \"tp=2 dp=2 sequence-parallel zero=1\""));
  const Result three = run("parity", {"--layout=tp=3"}, folder_);
  EXPECT_EQ(three.status, 1);
  EXPECT_THAT(three.err, HasSubstr("choose tp from {1, 2, 4}"));
}

ParityRun trained(std::uint64_t seed, DType dtype) {
  ParityTask task;
  task.model = gpt_preset("nano");
  task.model.n_layers = 1;
  task.batch = {2, 8, 1};
  task.steps = 2;
  task.dtype = dtype;
  task.seed = seed;
  ParityRun result;
  run_ranks(1, 1, [&](Communicator& world) {
    result = train_for_parity(task, TrainingLayout{}, world, Device{}, 1);
  });
  return result;
}

TEST(ParityRun, IsNoRoundingWhenSomethingElseWasTrained) {
  for (DType dtype : {DType::Float64, DType::Float32, DType::BFloat16}) {
    const ParityRun one = trained(1, dtype);
    EXPECT_TRUE(is_rounding(difference(trained(1, dtype), one), dtype));
    EXPECT_FALSE(is_rounding(difference(trained(2, dtype), one), dtype));
    ParityRun broken = one;
    broken.gradients["final_norm.weight"].fill(std::numeric_limits<double>::quiet_NaN());
    EXPECT_FALSE(is_rounding(difference(broken, one), dtype));
  }
}

TEST(ParityRun, MeasuresDifferencesRelativeToTheNumbers) {
  const ParityRun exact = trained(1, DType::Float64);
  ParityRun doubled = exact;
  doubled.losses[1] *= 2.0;
  Tensor gradient = exact.gradients.at("final_norm.bias").clone();
  for (std::int64_t i = 0; i < gradient.numel(); ++i) gradient.data<double>()[i] *= 1.5;
  doubled.gradients["final_norm.bias"] = gradient;
  const ParityDifference found = difference(doubled, exact);
  EXPECT_EQ(found.first_loss, 0.0);
  EXPECT_NEAR(found.loss, 1.0, 1e-12);
  EXPECT_NEAR(found.gradients, 0.5, 1e-12);
  EXPECT_EQ(found.parameters, 0.0);
}

}  // namespace
}  // namespace shardgrad::tool_testing
