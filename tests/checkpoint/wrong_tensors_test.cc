// Files that are good safetensors, but hold other tensors than the model or its optimizer has.
#include <gmock/gmock.h>

#include <cstring>
#include <functional>
#include <nlohmann/json.hpp>

#include "checkpoint/checkpoint.h"
#include "parallel/launch.h"
#include "tests/checkpoint/test_folder.h"
#include "tests/support/error_of.h"

namespace shardgrad {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

class WrongTensorsTest : public FolderTest {
 protected:
  void SetUp() override {
    FolderTest::SetUp();
    run_ranks(1, 1, [&](Communicator& world) {
      GPTTraining training(config_, {}, world, {}, {});
      saved_ = save_checkpoint(training, {}, in("run"), 0);
    });
  }

  /// What is said about the checkpoint once `change` has been made to the header of its `file`: at
  /// one rank, and at two, which read parts of it.
  std::string error_with(const std::string& file, const std::function<void(json&)>& change) {
    const std::string path = saved_ + "/" + file, before = content(path);
    std::uint64_t length;
    std::memcpy(&length, before.data(), sizeof(length));
    json header = json::parse(before.substr(sizeof(length), length));
    const std::string data = before.substr(sizeof(length) + length);
    change(header);
    const std::string text = header.dump();
    length = text.size();
    std::ofstream(path, std::ios::binary)
        << std::string(reinterpret_cast<const char*>(&length), sizeof(length)) << text << data;
    const std::string error = load(1);
    EXPECT_EQ(load(2), error);
    std::ofstream(path, std::ios::binary) << before;
    return error;
  }

 private:
  std::string load(int tp) {
    return error_of([&] {
      TrainingLayout layout;
      layout.tensor_parallel = tp;
      run_ranks(tp, 1, [&](Communicator& world) {
        GPTTraining training(config_, layout, world, {}, {});
        load_checkpoint(training, saved_);
      });
    });
  }

  GPTConfig config_ = read_gpt_config("tests/checkpoint/golden/tied");
  std::string saved_;
};

// The last tensor of a file, so that it can be taken out or added to without a gap.
std::string last_of(const json& header) {
  std::string last;
  std::int64_t end = -1;
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__" || entry["data_offsets"][1] <= end) continue;
    end = entry["data_offsets"][1];
    last = name;
  }
  return last;
}

// An empty tensor takes no bytes, so that the file stays good.
void add_empty(json& header, const std::string& name) {
  const json end = header[last_of(header)]["data_offsets"][1];
  header[name] = {{"dtype", "F32"}, {"shape", {0}}, {"data_offsets", {end, end}}};
}

void rename(json& header, const std::string& from, const std::string& to) {
  header[to] = header.at(from);
  header.erase(from);
}

constexpr const char* kWeight = "transformer.h.0.mlp.c_fc.weight";

TEST_F(WrongTensorsTest, OfTheModel) {
  const auto error = [&](const std::function<void(json&)>& change) {
    return error_with("model.safetensors", change);
  };
  EXPECT_EQ(error([](json&) {}), "");
  EXPECT_THAT(
      error([](json& header) { header[kWeight]["dtype"] = "I32"; }),
      HasSubstr("model.safetensors: tensor transformer.h.0.mlp.c_fc.weight is I32 [24, 40]; "
                "expected F32, F16, BF16 or F64 [24, 40], as config.json says"));
  EXPECT_THAT(error([](json& header) {
                header[kWeight]["shape"] = {40, 24};
              }),
              HasSubstr("c_fc.weight is F32 [40, 24]; expected F32, F16, BF16 or F64 [24, 40]"));
  EXPECT_THAT(error([](json& header) { header[kWeight]["shape"] = {24 * 40}; }),
              HasSubstr("c_fc.weight is F32 [960]; expected"));
  EXPECT_THAT(error([](json& header) {
                header[kWeight]["dtype"] = "F64";  // half as many, in the same bytes
                header[kWeight]["shape"] = {12, 40};
              }),
              HasSubstr("c_fc.weight is F64 [12, 40]; expected F32, F16, BF16 or F64 [24, 40]"));
  EXPECT_THAT(error([](json& header) { rename(header, kWeight, "transformer.h.0.mlp.c_fc.w"); }),
              HasSubstr("has no tensor transformer.h.0.mlp.c_fc.weight, which config.json asks"));
  EXPECT_THAT(error([](json& header) { add_empty(header, "transformer.h.7.ln_1.weight"); }),
              HasSubstr("tensor \"transformer.h.7.ln_1.weight\" is none of the model's"));
  EXPECT_THAT(error([](json& header) { header.erase(last_of(header)); }),
              HasSubstr("the last tensor ends at offset"));
}

TEST_F(WrongTensorsTest, OfTheOptimizer) {
  const std::string moment = "second_moment.blocks.1.feed_forward.expansion.weight";
  const auto error = [&](const std::function<void(json&)>& change) {
    return error_with("optimizer.safetensors", change);
  };
  EXPECT_EQ(error([](json&) {}), "");
  EXPECT_THAT(
      error([&](json& header) { header[moment]["dtype"] = "I32"; }),
      HasSubstr("tensor second_moment.blocks.1.feed_forward.expansion.weight is I32 [40, 24]; "
                "expected F32 [40, 24]"));
  EXPECT_THAT(error([&](json& header) {
                header[moment]["shape"] = {24, 40};
              }),
              HasSubstr("is F32 [24, 40]; expected F32 [40, 24]"));
  EXPECT_THAT(error([&](json& header) { rename(header, moment, "third_moment"); }),
              HasSubstr("has no tensor second_moment.blocks.1.feed_forward.expansion.weight"));
  EXPECT_THAT(error([](json& header) { add_empty(header, "third_moment"); }),
              HasSubstr("tensors; expected "));
}

}  // namespace
}  // namespace shardgrad
