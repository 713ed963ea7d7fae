// Every collective against results computed here, bit for bit.
#include "parallel/communicator.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <random>
#include <thread>
#include <vector>

#include "parallel/launch.h"
#include "tests/support/reference.h"

namespace shardgrad {
namespace {

constexpr int kWorldSizes[] = {1, 2, 3, 4, 8};
constexpr std::int64_t kSizes[] = {0, 1, 7, 1000003};

// Element `index` of rank `rank`: values whose sums round, so that the order of addition shows.
template <class T>
T element(int rank, std::int64_t index) {
  return static_cast<T>(0.37 * static_cast<double>((index * 7919 + rank * 104729) % 2003 - 1001));
}

template <class T>
Tensor rank_tensor(int rank, const Shape& shape) {
  Tensor tensor = Tensor::empty(shape, DTypeOf<T>::value);
  for (std::int64_t i = 0; i < tensor.numel(); ++i) tensor.data<T>()[i] = element<T>(rank, i);
  return tensor;
}

template <class T>
Tensor expected_sum(int world_size, const Shape& shape) {
  // In float32 for bfloat16, and rounded once.
  Tensor sum = rank_tensor<T>(0, shape).to(accumulation_dtype(DTypeOf<T>::value));
  auto* const total = sum.data<Accumulator<T>>();
  for (int rank = 1; rank < world_size; ++rank) {
    const Tensor next = rank_tensor<T>(rank, shape);
    for (std::int64_t i = 0; i < sum.numel(); ++i) total[i] += widen(next.data<T>()[i]);
  }
  return sum.to(DTypeOf<T>::value);
}

template <class T>
class CollectiveTest : public ::testing::Test {};
using DTypes = ::testing::Types<float, double, BFloat16, std::int32_t>;
TYPED_TEST_SUITE(CollectiveTest, DTypes);

TYPED_TEST(CollectiveTest, AllReduceSumsInRankOrder) {
  for (int world_size : kWorldSizes) {
    for (std::int64_t size : kSizes) {
      const Tensor expected = expected_sum<TypeParam>(world_size, {size});
      run_ranks(world_size, 2, [&](Communicator& group) {
        Tensor x = rank_tensor<TypeParam>(group.rank(), {size});
        group.all_reduce(x);
        EXPECT_TRUE(reference::bitwise_equal(x, expected)) << world_size << " ranks, " << size;
      });
    }
  }
}

TYPED_TEST(CollectiveTest, AllReduceTakesTheMaximum) {
  for (int world_size : kWorldSizes) {
    for (std::int64_t size : kSizes) {
      Tensor expected = rank_tensor<TypeParam>(0, {size});
      for (std::int64_t i = 0; i < size; ++i) {
        TypeParam& maximum = expected.data<TypeParam>()[i];
        for (int rank = 1; rank < world_size; ++rank) {
          const TypeParam next = element<TypeParam>(rank, i);
          if (widen(next) > widen(maximum)) maximum = next;
        }
      }
      run_ranks(world_size, 1, [&](Communicator& group) {
        Tensor x = rank_tensor<TypeParam>(group.rank(), {size});
        group.all_reduce(x, ReduceOp::Max);
        EXPECT_TRUE(reference::bitwise_equal(x, expected)) << world_size << " ranks, " << size;
      });
    }
  }
}

TYPED_TEST(CollectiveTest, AllGatherConcatenatesInRankOrder) {
  for (int world_size : kWorldSizes) {
    for (std::int64_t size : kSizes) {
      Tensor expected = Tensor::empty({size * world_size, 1}, DTypeOf<TypeParam>::value);
      for (int rank = 0; rank < world_size; ++rank) {
        expected.slice(0, rank * size, size).copy_from(rank_tensor<TypeParam>(rank, {size, 1}));
      }
      run_ranks(world_size, 2, [&](Communicator& group) {
        const Tensor input = rank_tensor<TypeParam>(group.rank(), {size, 1});
        Tensor output = Tensor::zeros_like(expected);
        group.all_gather(input, output);
        EXPECT_TRUE(reference::bitwise_equal(output, expected)) << world_size << " ranks, " << size;

        Tensor in_place = Tensor::zeros_like(expected);
        Tensor own_part = in_place.slice(0, group.rank() * size, size);
        own_part.copy_from(input);
        group.all_gather(own_part, in_place);
        EXPECT_TRUE(reference::bitwise_equal(in_place, expected)) << "in place, " << world_size;
      });
    }
  }
}

TYPED_TEST(CollectiveTest, ReduceScatterLeavesEachRankItsPart) {
  for (int world_size : kWorldSizes) {
    for (std::int64_t size : {std::int64_t{1}, std::int64_t{7}, std::int64_t{100003}}) {
      const Shape whole{size * world_size, 2};
      const Tensor sum = expected_sum<TypeParam>(world_size, whole);
      run_ranks(world_size, 2, [&](Communicator& group) {
        const Tensor expected = sum.slice(0, group.rank() * size, size).clone();
        Tensor input = rank_tensor<TypeParam>(group.rank(), whole);
        Tensor output = Tensor::empty({size, 2}, DTypeOf<TypeParam>::value);
        group.reduce_scatter(input, output);
        EXPECT_TRUE(reference::bitwise_equal(output, expected)) << world_size << " ranks, " << size;

        Tensor own_part = input.slice(0, group.rank() * size, size);
        group.reduce_scatter(input, own_part);
        EXPECT_TRUE(reference::bitwise_equal(own_part.clone(), expected)) << "in place";
      });
    }
  }
}

TYPED_TEST(CollectiveTest, BroadcastCopiesFromAnyRoot) {
  for (int world_size : kWorldSizes) {
    for (std::int64_t size : kSizes) {
      run_ranks(world_size, 1, [&](Communicator& group) {
        for (int root = 0; root < world_size; root += 3) {
          Tensor x = rank_tensor<TypeParam>(group.rank(), {size});
          group.broadcast(x, root);
          EXPECT_TRUE(reference::bitwise_equal(x, rank_tensor<TypeParam>(root, {size})));
        }
      });
    }
  }
}

TYPED_TEST(CollectiveTest, SendReachesReceive) {
  for (int world_size : {2, 3, 4, 8}) {
    for (std::int64_t size : kSizes) {
      run_ranks(world_size, 1, [&](Communicator& group) {
        // Round the ring: rank 0 sends first, the others receive first.
        const int next = (group.rank() + 1) % world_size;
        const int previous = (group.rank() + world_size - 1) % world_size;
        const Tensor own = rank_tensor<TypeParam>(group.rank(), {size});
        Tensor received = Tensor::zeros_like(own);
        if (group.rank() == 0) group.send(own, next);
        group.receive(received, previous);
        if (group.rank() != 0) group.send(own, next);
        EXPECT_TRUE(reference::bitwise_equal(received, rank_tensor<TypeParam>(previous, {size})));
      });
    }
  }
}

TEST(CommunicatorTest, MaximumWithNanIsNan) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  for (int nan_rank = 0; nan_rank < 3; ++nan_rank) {
    run_ranks(3, 1, [&](Communicator& group) {
      const float third = group.rank() == nan_rank ? kNan : 5.0f;
      Tensor x = Tensor::from<float>({1.0f, -2.0f, third}, {3});
      group.all_reduce(x, ReduceOp::Max);
      EXPECT_EQ(x.data<float>()[1], -2.0f);
      EXPECT_TRUE(std::isnan(x.data<float>()[2])) << "NaN on rank " << nan_rank;
    });
  }
}

TEST(CommunicatorTest, ASumOfBFloat16IsRoundedOnce) {
  // 256 + 1 is 256 in bfloat16, but 256 + 1 + 1 = 258 when it is rounded at the end.
  run_ranks(3, 1, [](Communicator& group) {
    Tensor x = Tensor::full({5}, group.rank() == 0 ? 256.0 : 1.0, DType::BFloat16);
    group.all_reduce(x);
    EXPECT_EQ(x.slice(0, 3, 1).item(), 258.0);
    Tensor nan = Tensor::full({5}, group.rank() == 1 ? std::nan("") : 1.0, DType::BFloat16);
    group.all_reduce(nan, ReduceOp::Max);
    EXPECT_TRUE(std::isnan(nan.slice(0, 4, 1).item()));
  });
}

TEST(CommunicatorTest, ViewOfOddOffsetIsReducedAlone) {
  run_ranks(3, 1, [](Communicator& group) {
    Tensor whole = Tensor::full({1003}, 1.0);
    Tensor view = whole.slice(0, 1, 1001);
    group.all_reduce(view);
    EXPECT_EQ(whole.data<float>()[0], 1.0f);
    EXPECT_EQ(whole.data<float>()[1], 3.0f);
    EXPECT_EQ(whole.data<float>()[1001], 3.0f);
    EXPECT_EQ(whole.data<float>()[1002], 1.0f);
  });
}

TEST(CommunicatorTest, RandomDelaysChangeNothing) {
  constexpr int kWorldSize = 4;
  run_ranks(kWorldSize, 1, [](Communicator& group) {
    std::mt19937 random(static_cast<unsigned>(group.rank()));
    const auto delay = [&] {
      const unsigned draw = random() % 8;
      if (draw < 4) std::this_thread::sleep_for(std::chrono::microseconds(draw * 40));
    };
    for (int round = 0; round < 200; ++round) {
      const std::int64_t size = 1 + round * 17;
      Tensor x = Tensor::full({size}, group.rank() + round);
      delay();
      group.all_reduce(x);
      ASSERT_EQ(x.data<float>()[size - 1], 4.0f * static_cast<float>(round) + 6.0f);
      x.fill(group.rank() * 1000 + round);
      delay();
      group.broadcast(x, round % kWorldSize);
      ASSERT_EQ(x.data<float>()[size / 2], static_cast<float>(round % kWorldSize * 1000 + round));
      Tensor own = Tensor::full({1}, group.rank());
      Tensor gathered = Tensor::empty({kWorldSize});
      delay();
      group.all_gather(own, gathered);
      own.fill(-1.0);
      ASSERT_EQ(gathered.to_vector<float>(), (std::vector<float>{0, 1, 2, 3}));
      delay();
      group.barrier();
      group.reduce_scatter(gathered, own);
      gathered.fill(-1.0);
      ASSERT_EQ(own.item(), 4.0 * group.rank());
    }
  });
}

TEST(CommunicatorTest, BarrierHoldsUntilTheLastRankComes) {
  std::atomic<int> arrived{0};
  run_ranks(4, 1, [&](Communicator& group) {
    for (int round = 1; round <= 50; ++round) {
      ++arrived;
      group.barrier();
      EXPECT_EQ(arrived, 4 * round);
      group.barrier();
    }
  });
}

TEST(CommunicatorTest, StatsCountCallsAndPayload) {
  run_ranks(2, 1, [](Communicator& group) {
    Tensor x = Tensor::zeros({4, 8});
    Tensor twice = Tensor::zeros({8, 8});
    Tensor wide = Tensor::zeros({3}, DType::Float64);
    group.all_reduce(x);
    group.all_reduce(wide, ReduceOp::Max);
    group.all_gather(x, twice);
    group.reduce_scatter(twice, x);
    group.broadcast(x, 1);
    group.rank() == 0 ? group.send(x, 1) : group.receive(x, 0);
    group.barrier();
    EXPECT_EQ(group.stats().all_reduce.calls, 2);
    EXPECT_EQ(group.stats().all_reduce.bytes, 128 + 24);
    EXPECT_EQ(group.stats().all_gather.calls, 1);
    EXPECT_EQ(group.stats().all_gather.bytes, 256);
    EXPECT_EQ(group.stats().reduce_scatter.calls, 1);
    EXPECT_EQ(group.stats().reduce_scatter.bytes, 256);
    EXPECT_EQ(group.stats().broadcast.calls, 1);
    EXPECT_EQ(group.stats().broadcast.bytes, 128);
    EXPECT_EQ(group.stats().send_receive.calls, 1);
    EXPECT_EQ(group.stats().send_receive.bytes, 128);
    group.reset_stats();
    EXPECT_EQ(group.stats().all_reduce.calls, 0);
    EXPECT_EQ(group.stats().all_reduce.bytes, 0);
  });
  run_ranks(1, 1, [](Communicator& group) {
    Tensor x = Tensor::zeros({4});
    group.all_reduce(x);
    EXPECT_EQ(group.stats().all_reduce.calls, 0) << "a group of one communicates nothing";
  });
}

}  // namespace
}  // namespace shardgrad
