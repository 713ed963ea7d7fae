// Shard specifications, the module tree, and initial values that do not depend on the layout.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "nn/linear.h"
#include "tests/support/reference.h"

namespace shardgrad {
namespace {

using reference::bitwise_equal;

ShardSpec spec(const Shape& shape, int dim, int rank, int size, std::int64_t segments = 1,
               std::int64_t multiple = 1) {
  return {shape, dim, rank, size, segments, multiple};
}

TEST(ShardSpec, LocalShapes) {
  EXPECT_EQ(ShardSpec::replicated({6, 4}).local_shape(), (Shape{6, 4}));
  EXPECT_EQ(spec({8, 4}, 0, 1, 2).local_shape(), (Shape{4, 4}));
  EXPECT_EQ(spec({8, 4}, 1, 1, 4).local_shape(), (Shape{8, 1}));
  EXPECT_EQ(spec({24, 4}, 0, 1, 2, 3).local_shape(), (Shape{12, 4}));
  EXPECT_EQ(spec({50257, 8}, 0, 3, 4).local_shape(), (Shape{12565, 8}));
  EXPECT_EQ(spec({50257, 8}, 0, 3, 4, 1, 64).local_shape(), (Shape{12608, 8}));
  EXPECT_EQ(spec({50257, 8}, 0, 0, 1, 1, 64).local_shape(), (Shape{50304, 8}));
  EXPECT_EQ(spec({50257, 8}, 0, 3, 4, 1, 64).first_index(), 37824);
  EXPECT_EQ(spec({50257, 8}, 0, 3, 4, 1, 64).real_extent(), 12433);
  EXPECT_EQ(spec({5, 8}, 0, 1, 2, 1, 8).real_extent(), 0);
  EXPECT_THROW(spec({20, 4}, 0, 0, 2, 3).local_shape(), Error);
}

// Every global element is in exactly one run of one rank, at a local place of its own.
TEST(ShardSpec, TheRunsOfAllRanksCoverTheTensorOnce) {
  struct Case {
    Shape shape;
    int dim, size;
    std::int64_t segments;
    std::int64_t multiple = 1;
  };
  for (const Case& c :
       {Case{{8, 6}, 0, 2, 1}, Case{{8, 6}, 1, 3, 1}, Case{{24, 5}, 0, 4, 3}, Case{{5, 3}, 0, 4, 1},
        Case{{9}, 0, 2, 1}, Case{{2, 8, 3}, 1, 4, 2}, Case{{9, 2}, 0, 1, 1, 8},
        Case{{2, 9}, 1, 2, 1, 4}, Case{{9}, 0, 4, 1, 8}}) {
    std::vector<int> covered(c.shape.numel(), 0);
    for (int rank = 0; rank < c.size; ++rank) {
      const ShardSpec shard = spec(c.shape, c.dim, rank, c.size, c.segments, c.multiple);
      std::vector<int> used(shard.local_shape().numel(), 0);
      shard.for_each_run([&](std::int64_t local, std::int64_t global, std::int64_t length) {
        for (std::int64_t i = 0; i < length; ++i) {
          ++covered.at(global + i);
          ++used.at(local + i);
        }
      });
      for (int count : used) EXPECT_LE(count, 1);
    }
    EXPECT_THAT(covered, ::testing::Each(1)) << c.shape.to_string();
  }
}

// Rank 1 of 2 holds the second half of each segment.
TEST(ShardSpec, SegmentsAreCutOneByOne) {
  std::vector<std::int64_t> starts;
  spec({12}, 0, 1, 2, 3).for_each_run([&](std::int64_t local, std::int64_t global, std::int64_t n) {
    EXPECT_EQ(n, 2);
    EXPECT_EQ(local, 2 * static_cast<std::int64_t>(starts.size()));
    starts.push_back(global);
  });
  EXPECT_THAT(starts, ::testing::ElementsAre(2, 6, 10));
}

// One parameter that is cut as the specification says.
class Holder : public Module {
 public:
  explicit Holder(const ShardSpec& shard, DType dtype = DType::Float32)
      : parameter(register_parameter("weight", shard, Initializer::normal(0.5), {dtype})) {}
  ParameterPointer parameter;
};

TEST(InitializeParameters, AShardIsItsSliceOfTheWhole) {
  struct Case {
    Shape shape;
    int dim;
    std::int64_t segments;
  };
  for (const Case& c :
       {Case{{24, 10}, 0, 1}, Case{{10, 24}, 1, 1}, Case{{24, 10}, 0, 3}, Case{{13, 7}, 0, 1}}) {
    const Holder whole(ShardSpec::replicated(c.shape));
    initialize_parameters(whole, 9);
    const auto expected = whole.parameter->variable.value().to_vector<float>();
    for (int size : {2, 4}) {
      for (int rank = 0; rank < size; ++rank) {
        const Holder shard(spec(c.shape, c.dim, rank, size, c.segments));
        initialize_parameters(shard, 9);
        const auto found = shard.parameter->variable.value().to_vector<float>();
        std::vector<float> own(found.size(), 0.0f);  // padding is zero
        shard.parameter->shard.for_each_run(
            [&](std::int64_t local, std::int64_t global, std::int64_t length) {
              std::copy_n(expected.begin() + global, length, own.begin() + local);
            });
        EXPECT_EQ(found, own) << c.shape.to_string() << " rank " << rank << " of " << size;
      }
    }
  }
}

// Two layers of one shape, with a tied parameter between them.
class Pair : public Module {
 public:
  Pair() : first_(64, 64), second_(64, 64) {
    register_module("first", first_);
    register_module("second", second_);
    register_module("again", first_);
    scale_ = register_parameter("scale", ShardSpec::replicated({3}), Initializer::ones(), {});
  }

 private:
  Linear first_, second_;
  ParameterPointer scale_;
};

TEST(Module, NamesParametersInOrderAndTiedOnesOnce) {
  const Pair pair;
  std::vector<std::string> names;
  for (const auto& [name, parameter] : pair.named_parameters()) names.push_back(name);
  EXPECT_THAT(names, ::testing::ElementsAre("scale", "first.weight", "first.bias", "second.weight",
                                            "second.bias"));
  EXPECT_EQ(global_parameter_count(pair), 3 + 2 * (64 * 64 + 64));
}

TEST(InitializeParameters, StreamsAreKeyedByNameAndSeed) {
  const Pair pair, same, other;
  initialize_parameters(pair, 1);
  initialize_parameters(same, 1);
  initialize_parameters(other, 2);
  const auto value = [](const Pair& p, int i) {
    return p.named_parameters()[i].parameter->variable.value();
  };
  EXPECT_TRUE(bitwise_equal(value(pair, 1), value(same, 1)));
  EXPECT_FALSE(bitwise_equal(value(pair, 1), value(pair, 3)));
  EXPECT_FALSE(bitwise_equal(value(pair, 1), value(other, 1)));
  EXPECT_EQ(value(pair, 0).to_vector<float>(), std::vector<float>(3, 1.0f));
  EXPECT_EQ(value(pair, 2).to_vector<float>(), std::vector<float>(64, 0.0f));
}

TEST(InitializeParameters, DrawsTheDeviationThatIsAskedFor) {
  const Holder holder(ShardSpec::replicated({300, 400}), DType::Float64);
  initialize_parameters(holder, 1);
  const auto x = reference::to_matrix(holder.parameter->variable.value());
  // Five standard errors of the mean and of the deviation of 120,000 draws.
  EXPECT_NEAR(x.mean(), 0.0, 5 * 0.5 / std::sqrt(120000.0));
  EXPECT_NEAR(std::sqrt(x.squaredNorm() / 120000.0), 0.5, 5 * 0.5 / std::sqrt(240000.0));
}

}  // namespace
}  // namespace shardgrad
