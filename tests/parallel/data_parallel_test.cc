// Gradients summed over the copies of a model, in buckets of any size, with the optimizer's state
// whole or shared out.
#include "parallel/data_parallel.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "autograd/functions/arithmetic.h"
#include "nn/linear.h"
#include "nn/optim/adamw.h"
#include "parallel/launch.h"
#include "parallel/sharded_parameters.h"
#include "tests/support/error_of.h"
#include "tests/support/reference.h"

namespace shardgrad {
namespace {

using reference::bitwise_equal;
using reference::random_tensor;

// Its parameters are 40 x 30, 50 x 40, 40 and 50 elements: a bucket of 64 per rank holds parts.
class TwoLayers : public Module {
 public:
  explicit TwoLayers(DType dtype = DType::Float32)
      : first(30, 40, true, {dtype}), second(40, 50, true, {dtype}) {
    register_module("first", first);
    register_module("second", second);
  }
  Variable loss(const Tensor& x) const { return sum(second.forward(first.forward(Variable(x)))); }
  Linear first, second;
};

struct Result {
  Tensor gradients;   // as rank 0 owns them
  Tensor parameters;  // after three steps
  std::vector<double> norms;
};

Tensor batch_of(int rank, int step, int micro_batch) {
  return random_tensor({5, 30}, DType::Float32, 100 * rank + 10 * step + micro_batch);
}

// Three clipped steps of two micro-batches.
Result train(int ranks, const DataParallelOptions& options) {
  Result result;
  run_ranks(ranks, 1, [&](Communicator& world) {
    TwoLayers model;
    FlatParameters flat(model.named_parameters(),
                        DataParallel::region_multiple(world.world_size()));
    initialize_parameters(model, 3);
    DataParallel data_parallel(flat, world, options);
    AdamWOptions adamw;
    adamw.max_gradient_norm = 1.0;
    AdamW optimizer(flat, adamw, data_parallel.owned());
    const std::unique_ptr<Communicator> alone = world.split(world.rank(), 0);
    for (int step = 0; step < 3; ++step) {
      flat.clear_gradients();
      for (int micro_batch : {0, 1}) {
        if (micro_batch == 1) data_parallel.begin_last_backward();
        backward(model.loss(batch_of(world.rank(), step, micro_batch)));
      }
      data_parallel.finish_gradients();
      const Tensor norm = data_parallel.is_sharded()
                              ? gradient_norm(flat, *alone, data_parallel.owned(), world)
                              : gradient_norm(flat, *alone);
      if (step == 0 && world.rank() == 0) result.gradients = flat.gradients().clone();
      optimizer.step(1e-2, norm);
      data_parallel.gather_parameters();
      EXPECT_EQ(optimizer.state_numel() * (data_parallel.is_sharded() ? ranks : 1), flat.numel());
      Tensor rank0 = flat.values().clone();
      world.broadcast(rank0, 0);
      EXPECT_TRUE(bitwise_equal(flat.values(), rank0)) << "rank " << world.rank();
      if (world.rank() == 0) result.norms.push_back(norm.item());
    }
    if (world.rank() == 0) result.parameters = flat.values().clone();
  });
  return result;
}

TEST(DataParallel, SumsTheGradientsOfAllRanksAndMicroBatches) {
  const Result two = train(2, {});
  TwoLayers model;
  FlatParameters flat(model.named_parameters(), DataParallel::region_multiple(2));
  initialize_parameters(model, 3);
  for (int rank : {0, 1}) {
    for (int micro_batch : {0, 1}) backward(model.loss(batch_of(rank, 0, micro_batch)));
  }
  EXPECT_LT(reference::relative_difference(two.gradients, flat.gradients()), 1e-6);
}

TEST(DataParallel, OverlapAndBucketSizesChangeNoBit) {
  for (int ranks : {2, 4}) {
    const Result expected = train(ranks, {0, false, 1 << 30});
    for (bool overlap : {false, true}) {
      for (std::int64_t bucket_bytes : {1, 1000, 4096}) {
        const Result found = train(ranks, {0, overlap, bucket_bytes});
        EXPECT_TRUE(bitwise_equal(found.gradients, expected.gradients));
        EXPECT_TRUE(bitwise_equal(found.parameters, expected.parameters));
        EXPECT_EQ(found.norms, expected.norms);
      }
    }
  }
}

TEST(DataParallel, ShardingTheOptimizerChangesNothingButTheOrderOfTheNormsSum) {
  for (int ranks : {2, 3, 4}) {
    const Result whole = train(ranks, {0, false});
    for (bool overlap : {false, true}) {
      for (std::int64_t bucket_bytes : {1, 1 << 20}) {
        const Result sharded = train(ranks, {1, overlap, bucket_bytes});
        for (int step = 0; step < 3; ++step) {
          EXPECT_NEAR(sharded.norms[step], whole.norms[step], 1e-12 * whole.norms[step]);
        }
        EXPECT_LT(reference::relative_difference(sharded.parameters, whole.parameters), 1e-7);
      }
    }
  }
}

TEST(DataParallel, TheRanksOwnEveryElementOnce) {
  run_ranks(3, 1, [](Communicator& world) {
    TwoLayers model;
    FlatParameters flat(model.named_parameters(), DataParallel::region_multiple(3));
    const DataParallel data_parallel(flat, world, {1, true, 1});
    Tensor owners = Tensor::zeros({flat.numel()}, DType::Int32);
    for (const FlatRange& range : data_parallel.owned()) {
      owners.slice(0, range.begin, range.length()).fill(1);
    }
    world.all_reduce(owners);
    EXPECT_TRUE(bitwise_equal(owners, Tensor::full({flat.numel()}, 1, DType::Int32)));
  });
}

// Its gradient on any rank is a hole that the sum must not take for a number.
TEST(DataParallel, AParameterThatNoBackwardPassReachesCountsAsZero) {
  run_ranks(2, 1, [](Communicator& world) {
    TwoLayers model;
    FlatParameters flat(model.named_parameters(), DataParallel::region_multiple(2));
    initialize_parameters(model, 3);
    flat.gradients().fill(std::numeric_limits<double>::quiet_NaN());
    DataParallel data_parallel(flat, world);
    data_parallel.begin_last_backward();
    backward(sum(model.first.forward(Variable(batch_of(world.rank(), 0, 0)))));
    data_parallel.finish_gradients();
    for (const NamedParameter& entry : flat.parameters()) {
      const Tensor gradient =
          flat.gradients().slice(0, flat.offset(&entry - flat.parameters().data()),
                                 entry.parameter->variable.value().numel());
      const bool reached = entry.name.rfind("first", 0) == 0;
      EXPECT_EQ(reference::to_matrix(gradient.reshape({1, gradient.numel()})).norm() > 0, reached)
          << entry.name;
    }
  });
}

TEST(DataParallel, ANonFiniteGradientOnOneRankSkipsTheStepOnAll) {
  for (int zero_stage : {0, 1}) {
    run_ranks(2, 1, [&](Communicator& world) {
      TwoLayers model;
      FlatParameters flat(model.named_parameters(), DataParallel::region_multiple(2));
      initialize_parameters(model, 3);
      DataParallel data_parallel(flat, world, {zero_stage});
      AdamW optimizer(flat, {}, data_parallel.owned());
      const std::unique_ptr<Communicator> alone = world.split(world.rank(), 0);
      const Tensor before = flat.values().clone();
      Tensor x = batch_of(world.rank(), 0, 0);
      if (world.rank() == 1) x.data<float>()[7] = std::numeric_limits<float>::infinity();
      data_parallel.begin_last_backward();
      backward(model.loss(x));
      data_parallel.finish_gradients();
      const Tensor norm = gradient_norm(flat, *alone, data_parallel.owned(), world);
      EXPECT_FALSE(std::isfinite(norm.item()));
      optimizer.step(1e-2, norm);
      data_parallel.gather_parameters();
      EXPECT_TRUE(bitwise_equal(flat.values(), before)) << "rank " << world.rank();
    });
  }
}

TEST(DataParallel, OptionsThatMakeNoSenseAreErrors) {
  const auto error = [](int ranks, int zero_stage, std::int64_t multiple) {
    return error_of([&] {
      run_ranks(ranks, 1, [&](Communicator& world) {
        TwoLayers model;
        FlatParameters flat(model.named_parameters(), multiple);
        const DataParallel data_parallel(flat, world, {zero_stage});
      });
    });
  };
  EXPECT_NE(error(2, 3, 128).find("choose 0 or 1"), std::string::npos);
  EXPECT_NE(error(1, 1, 64).find("dp is 1"), std::string::npos);
  EXPECT_NE(error(2, 1, 1).find("region_multiple(2) = 128"), std::string::npos);
}

TEST(DataParallel, CountsTargetsThatCount) {
  const Tensor targets = Tensor::from<std::int32_t>({1, -100, 3, -100, -100, 0}, {2, 3});
  EXPECT_EQ(counted_targets(targets), 3);
  run_ranks(3, 1,
            [](Communicator& world) { EXPECT_EQ(sum_over_ranks(10 + world.rank(), world), 33); });
}

}  // namespace
}  // namespace shardgrad
