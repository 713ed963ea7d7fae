// Generation on CUDA tensors against the CPU's.
#include "model/generate.h"
#include "tests/cuda/cuda_testing.h"
#include "tests/model/training_run.h"

namespace shardgrad {
namespace {

using cuda_testing::kGpu;
using training_run::small_config;
using Tokens = std::vector<std::int32_t>;

struct Generated {
  Tokens text;
  std::vector<double> logits;  // after it
};

Generated generate(int tp, DType dtype, Device device, double temperature) {
  Generated result;
  run_ranks({std::vector<Device>(tp, device), 1}, [&](Communicator& world) {
    GPTConfig config = small_config(true);
    config.initializer_range = 0.2;
    GPTModel model(config, world, {dtype, device});
    initialize_parameters(model, 7);
    Generator generator(model, 20, 10);
    GenerationOptions options;
    options.sampling = {1.1, temperature, 20, 0.95};
    options.max_new_tokens = 30;
    const Tokens text = generator.generate({1, 2, 3, 4, 5}, options);
    const std::vector<double> logits = generator.logits_after({text.end() - 15, text.end()});
    if (world.rank() == 0) result = {text, logits};
  });
  return result;
}

TEST(CudaGeneration, IsThatOfTheCpu) {
  for (DType dtype : {DType::Float32, DType::Float64}) {
    const double tolerance = dtype == DType::Float64 ? 1e-10 : 1e-4;
    for (double temperature : {0.0, 0.9}) {
      const Generated expected = generate(1, dtype, {}, temperature);
      for (int tp : {1, 2}) {
        const Generated found = generate(tp, dtype, kGpu, temperature);
        EXPECT_EQ(found.text, expected.text) << name_of(dtype) << " tp=" << tp;
        ASSERT_EQ(found.logits.size(), expected.logits.size());
        for (std::size_t i = 0; i < expected.logits.size(); ++i) {
          EXPECT_NEAR(found.logits[i], expected.logits[i], tolerance) << "tp=" << tp;
        }
      }
    }
  }
}

}  // namespace
}  // namespace shardgrad
