// A small GPT's logits, loss and every gradient against PyTorch's, which make_gpt_golden.py wrote.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "model/gpt_model.h"
#include "parallel/launch.h"
#include "parallel/sharded_parameters.h"
#include "tests/support/reference.h"

namespace shardgrad {
namespace {

using reference::relative_difference;

const nlohmann::json& golden() {
  static const nlohmann::json file = [] {
    std::ifstream stream("tests/golden/gpt_golden.json");
    return nlohmann::json::parse(stream);
  }();
  return file;
}

GPTConfig golden_config() {
  const nlohmann::json& numbers = golden()["config"];
  GPTConfig config;
  config.vocab_size = numbers["vocab_size"];
  config.max_position_embeddings = numbers["max_position_embeddings"];
  config.n_layers = numbers["n_layers"];
  config.n_heads = numbers["n_heads"];
  config.d_model = numbers["d_model"];
  config.d_ff = numbers["d_ff"];
  config.dropout = 0.0;
  return config;
}

Tensor golden_ids(const char* name) {
  return Tensor::from(golden()[name].get<std::vector<std::int32_t>>(),
                      {golden()["batch"], golden()["tokens"]});
}

Tensor golden_tensor(const nlohmann::json& values, const Shape& shape) {
  return Tensor::from(values.get<std::vector<double>>(), shape);
}

// Gives the model this rank's shards of PyTorch's parameters.
void load_parameters(const GPTModel& model) {
  std::set<std::string> names;
  for (const auto& [name, parameter] : model.named_parameters()) {
    names.insert(name);
    const std::int64_t count = parameter->shard.global_shape.numel();
    const Tensor global = golden_tensor(golden()["parameters"].at(name), {count});
    Tensor& value = parameter->variable.mutable_value();
    value.fill(0.0);
    const Tensor elements = value.reshape({value.numel()});
    parameter->shard.for_each_run([&](std::int64_t to, std::int64_t from, std::int64_t length) {
      Tensor run = elements.slice(0, to, length);
      run.copy_from(global.slice(0, from, length));
    });
  }
  EXPECT_EQ(names.size(), golden()["parameters"].size());
}

void compare(int tp, DType dtype, double tolerance) {
  run_ranks(tp, 1, [&](Communicator& world) {
    GPTModel model(golden_config(), world, {dtype});
    load_parameters(model);
    const GPTOutput output =
        model.forward(golden_ids("input_ids"), golden_ids("attention_mask"), golden_ids("labels"));
    const double loss = golden()["loss"];
    EXPECT_LT(std::abs(output.loss.value().item() - loss) / loss, tolerance);
    EXPECT_LT(relative_difference(output.logits.value(),
                                  golden_tensor(golden()["logits"], output.logits.shape())),
              tolerance);
    backward(output.loss);
    for (const auto& [name, parameter] : model.named_parameters()) {
      const Tensor gradient =
          gather_shards(parameter->variable.gradient(), parameter->shard, world);
      EXPECT_LT(relative_difference(
                    gradient, golden_tensor(golden()["gradients"].at(name), gradient.shape())),
                tolerance)
          << name;
    }
  });
}

TEST(GPTGolden, Float64) { compare(1, DType::Float64, 1e-12); }
TEST(GPTGolden, Float32) { compare(1, DType::Float32, 1e-5); }
TEST(GPTGolden, Float64OnThreeRanks) { compare(3, DType::Float64, 1e-12); }
TEST(GPTGolden, Float32OnThreeRanks) { compare(3, DType::Float32, 1e-5); }

}  // namespace
}  // namespace shardgrad
