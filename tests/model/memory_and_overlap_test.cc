// What trades memory and time changes no number: recomputed blocks, and gradients that cross
// between the ranks while others are computed.
#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <ostream>
#include <tuple>

#include "tensor/allocator.h"
#include "tensor/operation_times.h"
#include "tests/model/training_run.h"

namespace shardgrad {
namespace {

using namespace training_run;

// Loss by loss and tensor by tensor, bit for bit.
void expect_same_bits(const TrainingRun& found, const TrainingRun& expected) {
  EXPECT_EQ(found.losses, expected.losses);
  EXPECT_EQ(found.norms, expected.norms);
  for (const auto& [name, tensor] : expected.gradients) {
    EXPECT_TRUE(reference::bitwise_equal(found.gradients.at(name), tensor)) << name;
  }
  for (const auto& [name, tensor] : expected.parameters) {
    EXPECT_TRUE(reference::bitwise_equal(found.parameters.at(name), tensor)) << name;
  }
}

// tp, and whether with sequence parallelism.
using Layout = std::tuple<int, bool>;

class BitwiseTest : public ::testing::TestWithParam<Layout> {
 protected:
  static TrainingOptions options(DType dtype) {
    TrainingOptions options;
    options.tp = std::get<0>(GetParam());
    options.sequence_parallel = std::get<1>(GetParam());
    options.dtype = dtype;
    options.steps = 3;
    return options;
  }
};

// Dropout draws the same masks the second time.
TEST_P(BitwiseTest, RecomputedBlocks) {
  for (const DType dtype : {DType::Float64, DType::Float32, DType::BFloat16}) {
    SCOPED_TRACE(name_of(dtype));
    TrainingOptions training = options(dtype);
    const TrainingRun kept = train(training);
    training.recompute = Recompute::Block;
    expect_same_bits(train(training), kept);
  }
}

// Nothing is read before it has arrived.
TEST_P(BitwiseTest, Overlap) {
  for (const Recompute recompute : {Recompute::None, Recompute::Block}) {
    TrainingOptions training = options(DType::Float32);
    training.recompute = recompute;
    const TrainingRun alone = train(training);
    training.overlap = true;
    expect_same_bits(train(training), alone);
  }
}

// No feed-forward layer goes over its hidden features more often than it must.
TEST_P(BitwiseTest, EveryGeluIsDifferentiatedTogetherWithItsValue) {
  const auto [tp, sequence_parallel] = GetParam();
  for (const Recompute recompute : {Recompute::None, Recompute::Block}) {
    run_ranks(tp, 1, [&, sequence_parallel = sequence_parallel](Communicator& world) {
      CommunicationQueue queue(world);
      for (CommunicationQueue* overlap : {static_cast<CommunicationQueue*>(nullptr), &queue}) {
        GPTModel model(small_config(true), world, {}, {sequence_parallel, recompute, overlap});
        initialize_parameters(model, 1);
        const Tensor ids = reference::random_ids({2, 10}, 0, 101, 1);
        const Variable loss = model.loss(ids, ids, {});
        const OperationTimes times;
        backward(loss);
        std::map<std::string, int> calls;
        for (const OperationCall& call : times.calls()) ++calls[call.name];
        EXPECT_EQ(calls["gelu_backward_and_value"], small_config(true).n_layers);
        EXPECT_EQ(calls["gelu_backward"], 0);
        EXPECT_EQ(calls["gelu_forward"], 0);
      }
    });
  }
}

INSTANTIATE_TEST_SUITE_P(Layouts, BitwiseTest,
                         ::testing::Values(Layout{1, false}, Layout{2, false}, Layout{2, true},
                                           Layout{4, true}));

GPTConfig deep_config() {
  GPTConfig config = small_config(true);
  config.max_position_embeddings = 64;
  config.n_layers = 8;
  config.d_model = 64;
  config.d_ff = 256;
  return config;
}

// Of a training step on 4 x 64 tokens, the most bytes in use beyond those at its start, in units of
// one token matrix [256, 64]; of all ranks together.
double peak_token_matrices(int tp, const GPTParallelism& parallelism) {
  double peak = 0.0;
  run_ranks(tp, 1, [&](Communicator& world) {
    GPTModel model(deep_config(), world, {}, parallelism);
    FlatParameters flat(model.named_parameters());
    initialize_parameters(model, 1);
    const Tensor ids = reference::random_ids({4, 64}, 0, 101, 1);
    ForwardContext context;
    context.training = true;
    CachingAllocator& allocator = allocator_for(Device{});
    world.barrier();
    const std::int64_t before = allocator.stats().bytes_in_use;
    if (world.rank() == 0) allocator.reset_peak();
    world.barrier();
    backward(model.loss(ids, ids, context));
    world.barrier();
    if (world.rank() == 0) {
      peak = static_cast<double>(allocator.stats().peak_bytes_in_use - before) / (256 * 64 * 4);
    }
  });
  return peak;
}

// Each block keeps twelve: the stream behind both of its branches, both norms' outputs, q, k and v,
// the attention's output, and the four of the GELU's input; or the two that it gets.
TEST(Memory, RecomputedBlocksKeepTheirInputsAlone) {
  const double kept = peak_token_matrices(1, {});
  const double recomputed = peak_token_matrices(1, {false, Recompute::Block, nullptr});
  EXPECT_GT(kept, 8 * 12);
  EXPECT_LT(kept, 8 * 12 + 20);
  EXPECT_GT(recomputed, 8 * 2 + 12);
  EXPECT_LT(recomputed, 8 * 2 + 12 + 20);
}

// Of those twelve, the four between the parallel layers are cut as well.
TEST(Memory, SequenceParallelismCutsTheStreamAndTheNorms) {
  const double replicated = peak_token_matrices(2, {});
  const double sliced = peak_token_matrices(2, {true, Recompute::None, nullptr});
  EXPECT_GT(replicated, 8 * (2 * 4 + 8));
  EXPECT_GT(sliced, 8 * (4 + 8));
  EXPECT_LT(sliced, replicated - 8 * 4 + 8);
}

// As data parallelism needs it: each parameter's hook is called once, in either case in the same
// order, when its gradient is what it will be in the end.
TEST(Recompute, HooksAreCalledOnceWithTheCompleteGradient) {
  for (const bool tied : {false, true}) {
    std::vector<std::string> calls[2];
    for (const Recompute recompute : {Recompute::None, Recompute::Block}) {
      run_ranks(1, 1, [&](Communicator& world) {
        GPTModel model(small_config(tied), world, {}, {false, recompute, nullptr});
        initialize_parameters(model, 1);
        Tensors then;
        for (const auto& [name, parameter] : model.named_parameters()) {
          parameter->variable.on_gradient_ready([&, name = name, parameter = parameter.get()] {
            calls[recompute == Recompute::Block].push_back(name);
            then[name] = parameter->variable.gradient().clone();
          });
        }
        ForwardContext context;
        context.training = true;
        const Tensor ids = reference::random_ids({2, 9}, 0, 101, 1);
        backward(model.loss(ids, ids, context));
        EXPECT_EQ(calls[recompute == Recompute::Block].size(), model.named_parameters().size());
        for (const auto& [name, parameter] : model.named_parameters()) {
          ASSERT_EQ(then.count(name), 1u) << name;
          EXPECT_TRUE(reference::bitwise_equal(then.at(name), parameter->variable.gradient()))
              << name;
        }
      });
    }
    // Block by block, from the last one down.
    for (const std::vector<std::string>& order : calls) {
      const auto position = [&](const std::string& prefix, bool last) {
        std::ptrdiff_t at = -1;
        for (std::size_t i = 0; i < order.size(); ++i) {
          if (order[i].rfind(prefix, 0) == 0 && (last || at < 0)) {
            at = static_cast<std::ptrdiff_t>(i);
          }
        }
        return at;
      };
      EXPECT_LT(position("blocks.1.", true), position("blocks.0.", false));
      EXPECT_LT(position("blocks.0.", true), position("token_embedding.", false));
    }
  }
}

// Everything that is meant to cross beside the computation does: once for each column-parallel
// layer, two a block and the head.
TEST(Overlap, PutsTheBackwardCollectivesOnTheQueue) {
  for (const bool sequence_parallel : {false, true}) {
    run_ranks(2, 1, [&](Communicator& world) {
      CommunicationQueue queue(world);
      GPTModel model(small_config(true), world, {}, {sequence_parallel, Recompute::None, &queue});
      initialize_parameters(model, 1);
      const Tensor ids = reference::random_ids({2, 9}, 0, 101, 1);
      const Variable loss = model.loss(ids, ids, {});
      const CommunicationStats before = queue.stats();
      backward(loss);
      const CommunicationStats after = queue.stats();
      EXPECT_EQ(after.all_reduce.calls, sequence_parallel ? 0 : 5);
      EXPECT_EQ(after.reduce_scatter.calls, sequence_parallel ? 5 : 0);
      EXPECT_EQ(after.all_gather.calls - before.all_gather.calls, sequence_parallel ? 5 : 0);
    });
  }
}

}  // namespace
}  // namespace shardgrad
