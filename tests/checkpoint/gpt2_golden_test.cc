// GPT-2 models that Hugging Face's transformers has saved; make_golden.py wrote them, and the
// logits that it computes.
#include <cmath>
#include <nlohmann/json.hpp>

#include "checkpoint/checkpoint.h"
#include "checkpoint/checkpoint_folder.h"
#include "parallel/launch.h"
#include "tests/checkpoint/test_folder.h"

namespace shardgrad {
namespace {

constexpr const char* kGolden = "tests/checkpoint/golden/";

class Gpt2GoldenTest : public FolderTest {
 protected:
  /// Calls `body` on every rank with the golden model.
  template <class Body>
  static void with_golden(const std::string& name, int tp, DType dtype, const Body& body) {
    const Gpt2Folder folder(kGolden + name);
    TrainingLayout layout;
    layout.tensor_parallel = tp;
    run_ranks(tp, 1, [&](Communicator& world) {
      GPTTraining training(folder.config(), layout, world, {dtype, Device{}}, {});
      load_weights(training, folder);
      body(training);
    });
  }

  static double worst_difference(const GPTTraining& training, const std::string& name) {
    const auto golden = nlohmann::json::parse(content(kGolden + name + "/logits.json"));
    const NoGradGuard no_grad;
    const Tensor ids = Tensor::from(golden["input_ids"].get<std::vector<std::int32_t>>(),
                                    {golden["batch"], golden["tokens"]});
    const Tensor logits = training.model().forward(ids, {}, {}).logits.value();
    const std::vector<double> found = logits.to(DType::Float64).to_vector<double>();
    const auto expected = golden["logits"].get<std::vector<double>>();
    EXPECT_EQ(found.size(), expected.size());
    double worst = 0.0;
    for (std::size_t i = 0; i < found.size(); ++i) {
      const double difference = std::abs(found[i] - expected.at(i));
      worst = std::isnan(difference) ? difference : std::max(worst, difference);
    }
    return worst;
  }
};

// Logits are of order 10.
TEST_F(Gpt2GoldenTest, LogitsAreThoseOfTransformers) {
  for (const char* name : {"tied", "untied", "half", "brain", "bare", "ours"}) {
    for (int tp : {1, 2}) {
      with_golden(name, tp, DType::Float32, [&](GPTTraining& training) {
        EXPECT_LT(worst_difference(training, name), 1e-4) << name << tp;
      });
      with_golden(name, tp, DType::Float64, [&](GPTTraining& training) {
        EXPECT_LT(worst_difference(training, name), 1e-7) << name << tp;
      });
    }
  }
}

TEST_F(Gpt2GoldenTest, ConfigIsRead) {
  const GPTConfig config = read_gpt_config(std::string(kGolden) + "untied");
  EXPECT_EQ(config.vocab_size, 37);
  EXPECT_EQ(config.max_position_embeddings, 12);
  EXPECT_EQ(config.n_layers, 2);
  EXPECT_EQ(config.n_heads, 4);
  EXPECT_EQ(config.d_model, 24);
  EXPECT_EQ(config.d_ff, 40);
  EXPECT_EQ(config.gelu, GeluKind::Tanh);
  EXPECT_FALSE(config.tie_embeddings);
  EXPECT_TRUE(read_gpt_config(std::string(kGolden) + "tied").tie_embeddings);
}

// What transformers has written, read and written again: the same bytes of every tensor.
TEST_F(Gpt2GoldenTest, SavedAgainItHasTheSameBytes) {
  const std::pair<const char*, DType> models[] = {
      {"tied", DType::Float32}, {"untied", DType::Float32}, {"brain", DType::BFloat16}};
  for (const auto& [name, dtype] : models) {
    for (int tp : {1, 2}) {
      const std::string folder = in(name + std::to_string(tp));
      with_golden(name, tp, dtype,
                  [&](GPTTraining& training) { save_checkpoint(training, {}, folder, 0); });
      const TensorFiles expected(kGolden + std::string(name)), found(checkpoint_path(folder, 0));
      EXPECT_EQ(found.tensors().size(), expected.tensors().size());
      for (const StoredTensor& tensor : expected.tensors()) {
        const StoredTensor* ours = found.find(tensor.name);
        ASSERT_NE(ours, nullptr) << tensor.name;
        EXPECT_EQ(ours->dtype, tensor.dtype);
        EXPECT_EQ(ours->shape, tensor.shape);
        EXPECT_TRUE(std::string(found.data(*ours), static_cast<std::size_t>(ours->bytes)) ==
                    std::string(expected.data(tensor), static_cast<std::size_t>(tensor.bytes)))
            << tensor.name;
      }
    }
  }
}

// The fields by which transformers knows the model, against those that it has written itself.
TEST_F(Gpt2GoldenTest, ConfigIsWhatTransformersWrites) {
  for (const char* name : {"tied", "untied"}) {
    const auto theirs =
        nlohmann::json::parse(content(kGolden + std::string(name) + "/config.json"));
    const nlohmann::json ours =
        gpt2_config_json(read_gpt_config(kGolden + std::string(name)), DType::Float32);
    for (const auto& [key, value] : ours.items()) {
      if (key == "torch_dtype") {  // "dtype" since version 5, which reads either
        EXPECT_EQ(value, theirs["dtype"]);
      } else {
        EXPECT_EQ(value, theirs[key]) << key;
      }
    }
  }
}

}  // namespace
}  // namespace shardgrad
