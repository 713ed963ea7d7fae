// What the layers, specifications and flat parameters say when they are used wrongly: the words are
// what a user has to go by.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "nn/dropout.h"
#include "nn/embedding.h"
#include "nn/layer_norm.h"
#include "nn/linear.h"
#include "nn/optim/flat_parameters.h"
#include "tests/support/error_of.h"

namespace shardgrad {
namespace {

TEST(ErrorText, ShardSpec) {
  const std::string expected =
      "[ShardSpec] dim 0 of [20, 4] does not split into 3 segments over 2 ranks; expected a "
      "multiple of 6";
  const ShardSpec shard{{20, 4}, 0, 1, 2, 3};
  EXPECT_EQ(error_of([&] { shard.local_shape(); }), expected);
  EXPECT_EQ(error_of([&] { shard.for_each_run([](auto...) { FAIL() << "a run"; }); }), expected);
}

TEST(ErrorText, ExtentsOfLayers) {
  EXPECT_EQ(error_of([] { Linear(0, 20); }),
            "[Linear] in_features 0 and out_features 20 must be positive");
  EXPECT_EQ(error_of([] { Linear(12, -1); }),
            "[Linear] in_features 12 and out_features -1 must be positive");
  EXPECT_EQ(error_of([] { LayerNorm(0); }), "[LayerNorm] features 0 must be positive");
  EXPECT_EQ(error_of([] { Embedding(0, 3); }),
            "[Embedding] num_embeddings 0 and d_model 3 must be positive");
  EXPECT_EQ(error_of([] { Embedding(5, -3); }),
            "[Embedding] num_embeddings 5 and d_model -3 must be positive");
}

TEST(ErrorText, DropoutProbability) {
  EXPECT_EQ(error_of([] { Dropout(1.0, "here"); }),
            "[Dropout] probability 1 is out of range; expected 0 <= p < 1");
  EXPECT_EQ(error_of([] { Dropout(-0.25, "here"); }),
            "[Dropout] probability -0.25 is out of range; expected 0 <= p < 1");
  EXPECT_EQ(error_of([] { Dropout(0.0, "here"); }), "");
}

TEST(ErrorText, IdsOutsideTheTable) {
  const Embedding layer(5, 3);
  initialize_parameters(layer, 1);
  const auto look_up = [&](std::vector<std::int32_t> ids) {
    const Shape shape{static_cast<std::int64_t>(ids.size())};
    return error_of([&] { layer.forward(Tensor::from(ids, shape)); });
  };
  EXPECT_EQ(look_up({0, 4}), "");
  EXPECT_EQ(look_up({0, 4, 5}),
            "[Embedding] id 5 at position 2 is outside the table; use ids in [0, 5)");
  EXPECT_EQ(look_up({-1}),
            "[Embedding] id -1 at position 0 is outside the table; use ids in [0, 5)");
}

TEST(ErrorText, InputsThatDoNotFit) {
  const Linear linear(12, 20);
  const LayerNorm norm(12);
  initialize_parameters(linear, 1);
  initialize_parameters(norm, 1);
  const Variable narrow(Tensor::zeros({7, 11}));
  EXPECT_EQ(error_of([&] { linear.forward(narrow); }),
            "[linear] x is [7, 11] and weight [20, 12]; expected [M, K] and [N, K]");
  EXPECT_EQ(error_of([&] { norm.forward(narrow); }),
            "[layer_norm] x is [7, 11], gamma [12], beta [12]; expected [M, D], [D], [D]");
}

TEST(ErrorText, FlatParameters) {
  EXPECT_EQ(error_of([] { FlatParameters({}); }), "[FlatParameters] there are no parameters");
  const Linear single(4, 4, false), twofold(4, 4, false, {DType::Float64});
  std::vector<NamedParameter> mixed = single.named_parameters();
  mixed.push_back({"other", twofold.named_parameters()[0].parameter});
  EXPECT_EQ(error_of([&] { FlatParameters flat(mixed); }),
            "[FlatParameters] other is float64 on cpu; expected float32 on cpu as for weight");
}

}  // namespace
}  // namespace shardgrad
