// What is said about memory before a run is what its tensors take.
#include "training/memory.h"

#include "tensor/allocator.h"
#include "tests/training/layout_run.h"

namespace shardgrad {
namespace {

struct Shape4 {
  std::int64_t vocab_size, n_layers, d_model, d_ff;
};

struct MemoryRun {
  Shape4 shape{256, 3, 64, 256};
  TrainingLayout layout;
  BatchShape batch{8, 64, 1};
  DType dtype = DType::Float64;
  double dropout = 0.0;
};

// Bytes of one rank, as the allocator has counted them.
struct Measured {
  double held = 0.0;        // between steps
  double in_step = 0.0;     // the most beside these within one
  double first_step = 0.0;  // the most within the first one, those held included
  TrainingMemory said;
};

// Blocks have their exact sizes: nothing is rounded up.
class MemoryTest : public ::testing::Test {
 protected:
  void SetUp() override { allocator_for(Device{}).set_pass_through(true); }
  void TearDown() override { allocator_for(Device{}).set_pass_through(false); }

  static Measured measure(const MemoryRun& run) {
    GPTConfig config;
    config.vocab_size = run.shape.vocab_size;
    config.max_position_embeddings = run.batch.tokens;
    config.n_layers = run.shape.n_layers;
    config.n_heads = 4;
    config.d_model = run.shape.d_model;
    config.d_ff = run.shape.d_ff;
    config.dropout = run.dropout;
    CachingAllocator& allocator = allocator_for(Device{});
    const int ranks = run.layout.world_size();
    Measured result;
    run_ranks(ranks, 1, [&](Communicator& world) {
      const std::int64_t before = allocator.stats().bytes_in_use;
      world.barrier();
      GPTTraining training(config, run.layout, world, {run.dtype, Device{}}, {{}, 1, 0.0});
      const Tensor ids =
          reference::random_ids({run.batch.sequences, run.batch.tokens}, 0, config.vocab_size, 1);
      std::int64_t held = 0, peak = 0, first_peak = 0;
      // Masters are made in the first step.
      for (int step = 0; step < 2; ++step) {
        world.barrier();
        held = allocator.stats().bytes_in_use - before;
        if (world.rank() == 0) allocator.reset_peak();
        world.barrier();
        training.numbers(
            training.step({step, 1e-3, run.batch.sequences, run.batch.micro_batches},
                          [&](std::int64_t first, std::int64_t count) -> MicroBatch {
                            return {ids.slice(0, first, count), ids.slice(0, first, count)};
                          }));
        world.barrier();
        peak = allocator.stats().peak_bytes_in_use - before;
        if (step == 0) first_peak = peak;
      }
      if (world.rank() != 0) return;
      result.held = static_cast<double>(held) / ranks;
      result.in_step = static_cast<double>(peak - held) / ranks;
      result.first_step = static_cast<double>(first_peak) / ranks;
      result.said = training_memory(training, run.layout, run.batch);
    });
    return result;
  }

  // `below`, `above`: how far the measured memory of a step may be from the estimate, and `scratch`
  // by how many bytes further above.
  static void expect_as_said(const MemoryRun& run, double below, double above,
                             double scratch = 0.0) {
    SCOPED_TRACE(::testing::Message()
                 << run.layout.to_string() << ", " << name_of(run.dtype) << ", vocabulary "
                 << run.shape.vocab_size << ", d_ff " << run.shape.d_ff << ", "
                 << run.shape.n_layers << " layers, " << run.batch.micro_batches
                 << " micro-batches, dropout " << run.dropout);
    const Measured found = measure(run);
    // Beside the flat buffers there are the token ids.
    const auto held = static_cast<double>(found.said.held());
    EXPECT_GE(found.held, held);
    EXPECT_LT(found.held, held + 8192);
    const auto step = static_cast<double>(found.said.activations + found.said.workspace);
    EXPECT_GT(found.in_step, step * (1.0 - below));
    EXPECT_LT(found.in_step, step * (1.0 + above) + scratch);
  }

  static std::vector<TrainingLayout> tensor_parallel_layouts() {
    std::vector<TrainingLayout> layouts;
    for (const int tp : {1, 2, 4}) {
      for (const bool sequence_parallel : {false, true}) {
        for (const Recompute recompute : {Recompute::None, Recompute::Block}) {
          if (sequence_parallel && tp == 1) continue;
          layouts.emplace_back();
          layouts.back().tensor_parallel = tp;
          layouts.back().sequence_parallel = sequence_parallel;
          layouts.back().recompute = recompute;
        }
      }
    }
    return layouts;
  }
};

// No layout takes 3 % more than was said. One rank alone takes no less, either; the peaks of
// several, which share the allocator, need not coincide.
TEST_F(MemoryTest, OfEveryTensorParallelLayout) {
  for (const TrainingLayout& layout : tensor_parallel_layouts()) {
    for (const Shape4& shape : {Shape4{256, 3, 64, 256}, Shape4{4000, 2, 64, 256},
                                Shape4{100, 4, 64, 64}, Shape4{256, 1, 64, 512}}) {
      MemoryRun run;
      run.layout = layout;
      run.shape = shape;
      expect_as_said(run, layout.tensor_parallel > 1 ? 0.25 : 0.03, 0.03);
    }
  }
}

// Products of float32 and bfloat16 matrices need scratch memory, how much is for the library to
// say: less than a MiB, of the blocks that it packs.
TEST_F(MemoryTest, OfOtherDtypes) {
  for (const TrainingLayout& layout : tensor_parallel_layouts()) {
    MemoryRun run;
    run.layout = layout;
    run.shape = {2000, 3, 128, 512};
    run.dtype = DType::Float32;
    constexpr double kScratch = 1 << 20;
    expect_as_said(run, 0.25, 0.03, kScratch);
    run.dtype = DType::BFloat16;
#ifdef __AVX512BF16__
    expect_as_said(run, 0.25, 0.03, kScratch);
#else
    // Without instructions for bfloat16, products are made of float32 copies.
    expect_as_said(run, 0.25, 2.0);
#endif
  }
}

// Copies of the model need not be at their peaks at the same time.
TEST_F(MemoryTest, OfDataParallelLayouts) {
  for (const int zero_stage : {0, 1}) {
    for (const std::int64_t micro_batches : {1, 4}) {
      for (const double dropout : {0.0, 0.1}) {
        MemoryRun run;
        run.layout.data_parallel = 2;
        run.layout.zero_stage = zero_stage;
        run.batch.micro_batches = micro_batches;
        run.dropout = dropout;
        expect_as_said(run, 0.4, 0.1);
        run.layout.data_parallel = 1;
        run.layout.zero_stage = 0;
        expect_as_said(run, 0.03, 0.1);
      }
    }
  }
}

// What the first step takes is reported as the run's need. On so few tokens a second copy of the
// masters would be more than all that a step needs beside what is held.
TEST_F(MemoryTest, TheFirstStepOfBfloat16TakesWhatOthersTake) {
  std::vector<TrainingLayout> layouts(3);
  layouts[1].tensor_parallel = 2;
  layouts[2].data_parallel = 2;
  layouts[2].zero_stage = 1;
  for (const TrainingLayout& layout : layouts) {
    SCOPED_TRACE(layout.to_string());
    MemoryRun run;
    run.layout = layout;
    run.shape = {500, 3, 128, 512};
    run.batch = {2, 8, 1};
    run.dtype = DType::BFloat16;
    const Measured found = measure(run);
    const double masters = static_cast<double>(found.said.optimizer) / 3.0;
    EXPECT_LT(found.first_step, static_cast<double>(found.said.held()) + 0.75 * masters);
    // The peaks of several ranks, which share the allocator, need not coincide.
    if (layout.world_size() == 1) {
      EXPECT_EQ(found.first_step, found.held + found.in_step);
    }
  }
}

TEST_F(MemoryTest, ZeroSharesTheOptimizerAlone) {
  MemoryRun run;
  run.dtype = DType::BFloat16;
  run.layout.data_parallel = 2;
  const TrainingMemory all = measure(run).said;
  run.layout.zero_stage = 1;
  const TrainingMemory shared = measure(run).said;
  EXPECT_EQ(all.gradients, 2 * all.weights) << "float32 beside bfloat16";
  EXPECT_EQ(all.optimizer, 3 * all.gradients) << "two moments, and the masters";
  EXPECT_EQ(2 * shared.optimizer, all.optimizer);
  EXPECT_EQ(shared.weights, all.weights);
}

}  // namespace
}  // namespace shardgrad
