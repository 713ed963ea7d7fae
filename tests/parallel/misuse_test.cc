// Calls that cannot be right: an Error that says what is wrong, on every rank that can know.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "parallel/communicator.h"
#include "parallel/launch.h"

namespace shardgrad {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::HasSubstr;

// The message of the Error that `call` throws on each rank; "" where it throws none.
std::vector<std::string> messages(int world_size, const std::function<void(Communicator&)>& call) {
  std::vector<std::string> caught(world_size);
  run_ranks(world_size, 1, [&](Communicator& group) {
    try {
      call(group);
    } catch (const Error& error) {
      caught[group.rank()] = error.what();
    }
  });
  return caught;
}

TEST(MisuseTest, TensorArgumentsAreChecked) {
  run_ranks(2, 1, [](Communicator& group) {
    const auto message = [&](const std::function<void()>& call) -> std::string {
      try {
        call();
      } catch (const Error& error) {
        return error.what();
      }
      return "no error";
    };
    Tensor undefined;
    Tensor matrix = Tensor::zeros({4, 8});
    Tensor transposed = matrix.transpose(0, 1);
    Tensor scalar = Tensor::zeros({});
    Tensor twice = Tensor::zeros({8, 8});
    Tensor twice_int = Tensor::zeros({8, 8}, DType::Int32);
    EXPECT_THAT(message([&] { group.all_reduce(undefined); }), HasSubstr("undefined"));
    EXPECT_THAT(message([&] { group.all_reduce(transposed); }),
                AllOf(HasSubstr("[all_reduce]"), HasSubstr("[8, 4]"), HasSubstr("contiguous")));
    EXPECT_THAT(message([&] { group.broadcast(transposed, 0); }), HasSubstr("contiguous"));
    EXPECT_THAT(message([&] { group.send(transposed, 1 - group.rank()); }),
                HasSubstr("contiguous"));
    EXPECT_THAT(message([&] { group.all_gather(matrix, matrix); }),
                AllOf(HasSubstr("output has shape [4, 8]"), HasSubstr("must be [8, 8]")));
    EXPECT_THAT(message([&] { group.all_gather(scalar, matrix); }), HasSubstr("scalar"));
    EXPECT_THAT(message([&] { group.all_gather(matrix, twice_int); }),
                AllOf(HasSubstr("int32"), HasSubstr("float32")));
    EXPECT_THAT(message([&] { group.reduce_scatter(matrix, twice); }), HasSubstr("[16, 8]"));
    Tensor straddling = twice.slice(0, 2, 4);
    EXPECT_THAT(message([&] { group.all_gather(straddling, twice); }), HasSubstr("overlaps"));
    EXPECT_THAT(message([&] { group.broadcast(matrix, 2); }),
                AllOf(HasSubstr("root 2"), HasSubstr("0..1")));
    EXPECT_THAT(message([&] { group.receive(matrix, -1); }), HasSubstr("source -1"));
    EXPECT_THAT(message([&] { group.send(matrix, group.rank()); }), HasSubstr("itself"));
    EXPECT_THAT(message([&] { group.split(-1, 0); }), HasSubstr("color -1"));
    group.all_reduce(matrix);  // none of these has disturbed the group
  });
}

TEST(MisuseTest, DifferentCollectivesFailOnEveryRank) {
  const auto caught = messages(3, [](Communicator& group) {
    Tensor x = Tensor::zeros({4, 8});
    group.rank() == 1 ? group.broadcast(x, 0) : group.all_reduce(x);
  });
  EXPECT_THAT(caught, Each(AllOf(HasSubstr("rank 0 called all_reduce(float32 [4, 8], sum)"),
                                 HasSubstr("rank 1 called broadcast(float32 [4, 8], rank 0)"))));
}

TEST(MisuseTest, DifferentArgumentsFailOnEveryRank) {
  EXPECT_THAT(messages(2,
                       [](Communicator& group) {
                         Tensor x = Tensor::zeros({group.rank() + 1});
                         group.all_reduce(x);
                       }),
              Each(AllOf(HasSubstr("float32 [1]"), HasSubstr("float32 [2]"))));
  EXPECT_THAT(messages(2,
                       [](Communicator& group) {
                         Tensor x =
                             Tensor::zeros({2}, group.rank() ? DType::Int32 : DType::Float32);
                         group.all_reduce(x);
                       }),
              Each(AllOf(HasSubstr("float32 [2]"), HasSubstr("int32 [2]"))));
  EXPECT_THAT(messages(2,
                       [](Communicator& group) {
                         Tensor x = Tensor::zeros({2});
                         group.all_reduce(x, group.rank() ? ReduceOp::Max : ReduceOp::Sum);
                       }),
              Each(AllOf(HasSubstr("sum"), HasSubstr("max"))));
  EXPECT_THAT(messages(2,
                       [](Communicator& group) {
                         Tensor x = Tensor::zeros({2});
                         group.broadcast(x, group.rank());
                       }),
              Each(HasSubstr("broadcast")));
  EXPECT_THAT(messages(2,
                       [](Communicator& group) {
                         Tensor x = Tensor::zeros({2});
                         group.rank() == 0 ? group.barrier() : group.all_reduce(x);
                       }),
              Each(HasSubstr("rank 0 called barrier()")));
}

TEST(MisuseTest, GroupWorksAfterAMismatch) {
  run_ranks(4, 1, [](Communicator& group) {
    for (int round = 0; round < 100; ++round) {
      Tensor x = Tensor::full({1 + (group.rank() == round % 4)}, 1.0);
      EXPECT_THROW(group.all_reduce(x), Error);
      Tensor y = Tensor::full({3}, 1.0);
      group.all_reduce(y);
      EXPECT_EQ(y.data<float>()[2], 4.0f);
    }
  });
}

TEST(MisuseTest, SendAndReceiveOfDifferentTensorsFailOnBoth) {
  const auto caught = messages(2, [](Communicator& group) {
    Tensor x = Tensor::zeros({group.rank() + 2});
    group.rank() == 0 ? group.send(x, 1) : group.receive(x, 0);
  });
  EXPECT_THAT(caught, Each(AllOf(HasSubstr("send(float32 [2], rank 1)"),
                                 HasSubstr("receive(float32 [3], rank 0)"))));
}

TEST(MisuseTest, RanksThatWaitForEachOtherGetAnError) {
  for (int world_size : {2, 3}) {  // everyone sends, nobody receives
    EXPECT_THROW(run_ranks(world_size, 1,
                           [&](Communicator& group) {
                             Tensor x = Tensor::zeros({2});
                             group.send(x, (group.rank() + 1) % world_size);
                           }),
                 Error);
  }
  for (int collective_rank : {0, 1}) {
    try {
      run_ranks(2, 1, [&](Communicator& group) {
        Tensor x = Tensor::zeros({2});
        group.rank() == collective_rank ? group.all_reduce(x) : group.receive(x, collective_rank);
      });
      FAIL() << "no error";
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), AllOf(HasSubstr("receive(float32 [2]"), HasSubstr("all_reduce(")));
    }
  }
}

}  // namespace
}  // namespace shardgrad
