// What becomes of a run when a rank throws, or returns early, at any point.
#include "parallel/launch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <new>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "tensor/parallel_for.h"

namespace shardgrad {
namespace {

using ::testing::HasSubstr;
using Clock = std::chrono::steady_clock;

struct CustomError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

void sleep_ms(int milliseconds) {
  std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
}

// Runs `body` on four ranks; expects CustomError("boom") from the run within a second of time.
template <class Body>
void expect_boom(const Body& body) {
  const Clock::time_point start = Clock::now();
  try {
    run_ranks(4, 1, body);
    FAIL() << "no exception";
  } catch (const CustomError& error) {
    EXPECT_STREQ(error.what(), "boom");
  }
  EXPECT_LT(Clock::now() - start, std::chrono::seconds(1));
}

TEST(LaunchTest, RunsEveryRankOnce) {
  for (int world_size : {1, 2, 5}) {
    std::vector<std::atomic<int>> runs(world_size);
    run_ranks(world_size, 1, [&](Communicator& world) {
      EXPECT_EQ(world.world_size(), world_size);
      ++runs[world.rank()];
    });
    for (const auto& count : runs) EXPECT_EQ(count, 1);
  }
}

TEST(LaunchTest, FailureBeforeACollectiveReleasesTheOthers) {
  std::atomic<int> released{0};
  expect_boom([&](Communicator& world) {
    if (world.rank() == 1) {
      sleep_ms(20);
      throw CustomError("boom");
    }
    Tensor x = Tensor::zeros({100});
    for (int attempt = 0; attempt < 3; ++attempt) {  // later calls fail as the waiting one does
      try {
        world.all_reduce(x);
      } catch (const Error& error) {
        EXPECT_STREQ(error.what(), "[all_reduce] rank 1 failed: boom");
        ++released;
      }
    }
  });
  EXPECT_EQ(released, 9);
}

TEST(LaunchTest, FailureAmongCollectivesReleasesTheOthers) {
  for (int failing_round = 0; failing_round < 30; ++failing_round) {
    expect_boom([&](Communicator& world) {
      Tensor x = Tensor::zeros({5000});
      for (int round = 0; round < 40; ++round) {
        if (world.rank() == 2 && round == failing_round) throw CustomError("boom");
        world.all_reduce(x);
      }
    });
  }
}

TEST(LaunchTest, FailureInsideACallReleasesTheOthers) {
  std::string message;
  try {
    run_ranks(3, 1, [](Communicator& world) {
      Tensor x = Tensor::zeros({4, 8});
      Tensor transposed = x.transpose(0, 1);
      world.all_reduce(world.rank() == 1 ? transposed : x);
    });
  } catch (const Error& error) {
    message = error.what();
  }
  EXPECT_THAT(message, HasSubstr("contiguous"));
  EXPECT_EQ(message.find("failed"), std::string::npos) << "the original, not what it caused";
}

TEST(LaunchTest, FailureAfterTheLastCollectiveIsRethrown) {
  expect_boom([](Communicator& world) {
    world.barrier();
    if (world.rank() == 3) throw CustomError("boom");
  });
}

TEST(LaunchTest, FailureReleasesRanksInEveryGroup) {
  expect_boom([](Communicator& world) {
    const auto pair = world.split(world.rank() / 2, 0);
    const auto other_pair = world.split(world.rank() % 2, 0);
    if (world.rank() == 3) {
      sleep_ms(20);
      throw CustomError("boom");
    }
    Tensor x = Tensor::zeros({10});
    // Rank 0 and 1 wait in a group that rank 3 is no member of, since rank 1 goes elsewhere first.
    if (world.rank() == 1) other_pair->all_reduce(x);
    if (world.rank() == 2) pair->receive(x, 1);
    pair->all_reduce(x);
  });
}

TEST(LaunchTest, FailureReleasesRanksInSplit) {
  expect_boom([](Communicator& world) {
    if (world.rank() == 0) throw CustomError("boom");
    world.split(0, 0);
  });
}

TEST(LaunchTest, FailureReleasesSendAndReceive) {
  expect_boom([](Communicator& world) {
    Tensor x = Tensor::zeros({10});
    if (world.rank() == 0) {
      sleep_ms(20);
      throw CustomError("boom");
    }
    if (world.rank() == 1) world.send(x, 0);
    if (world.rank() == 2) world.receive(x, 0);
    if (world.rank() == 3) world.receive(x, 1);
  });
}

TEST(LaunchTest, OtherExceptionTypesKeepTheirType) {
  EXPECT_THROW(run_ranks(2, 1,
                         [](Communicator& world) {
                           if (world.rank() == 1) throw std::bad_alloc();
                           world.barrier();
                         }),
               std::bad_alloc);
  EXPECT_THROW(run_ranks(2, 1,
                         [](Communicator& world) {
                           if (world.rank() == 1) throw 42;
                           world.barrier();
                         }),
               int);
  EXPECT_THROW(run_ranks(1, 1, [](Communicator&) { throw CustomError("boom"); }), CustomError);
}

TEST(LaunchTest, EarlyReturnIsAnErrorForThoseWhoWait) {
  for (int delay : {0, 20}) {
    try {
      run_ranks(2, 1, [&](Communicator& world) {
        if (world.rank() == 1) return sleep_ms(delay);
        Tensor x = Tensor::zeros({10});
        world.all_reduce(x);
      });
      FAIL() << "no exception";
    } catch (const Error& error) {
      EXPECT_STREQ(error.what(),
                   "[all_reduce] rank 1 has finished while rank 0 waits in all_reduce");
    }
  }
  EXPECT_THROW(run_ranks(3, 1,
                         [](Communicator& world) {
                           const auto group = world.split(0, -world.rank());
                           Tensor x = Tensor::zeros({10});
                           if (world.rank() == 0) group->receive(x, 1);
                         }),
               Error);
}

TEST(LaunchTest, EarlyReturnIsNoErrorForThoseWhoAreDone) {
  for (int round = 0; round < 50; ++round) {
    run_ranks(4, 1, [](Communicator& world) {
      const auto pair = world.split(world.rank() / 2, 0);
      Tensor x = Tensor::full({100}, 1.0);
      world.all_reduce(x);
      if (world.rank() >= 2) return;
      for (int repeat = 0; repeat < 5; ++repeat) pair->all_reduce(x);
      world.rank() == 0 ? world.send(x, 1) : world.receive(x, 0);
      EXPECT_EQ(x.data<float>()[99], 128.0f);
    });
  }
}

TEST(LaunchTest, NestedSplitsOrderByKey) {
  run_ranks(8, 1, [](Communicator& world) {
    const auto half = world.split(world.rank() / 4, -world.rank());  // reversed
    EXPECT_EQ(half->world_size(), 4);
    EXPECT_EQ(half->rank(), 3 - world.rank() % 4);
    const auto quarter = half->split(half->rank() % 2, 0);
    EXPECT_EQ(quarter->world_size(), 2);
    EXPECT_EQ(quarter->rank(), half->rank() / 2);
    const auto alone = quarter->split(quarter->rank(), 0);
    EXPECT_EQ(alone->world_size(), 1);
    EXPECT_EQ(alone->split(0, 0)->world_size(), 1);

    Tensor members = Tensor::full({1}, world.rank());
    Tensor gathered = Tensor::empty({2});
    quarter->all_gather(members, gathered);
    // Ranks 4h + 3, ..., 4h have half-ranks 0, ..., 3; every other one is in this quarter.
    const float first = static_cast<float>(world.rank() / 4 * 4 + 3 - half->rank() % 2);
    EXPECT_EQ(gathered.to_vector<float>(), (std::vector<float>{first, first - 2}));
  });
}

TEST(LaunchTest, ManySplitsInARow) {
  run_ranks(4, 1, [](Communicator& world) {
    for (int round = 0; round < 100; ++round) {
      const auto group = world.split((world.rank() + round) % 2, 0);
      Tensor x = Tensor::full({1}, 1.0);
      group->all_reduce(x);
      EXPECT_EQ(x.item(), 2.0);
    }
  });
}

TEST(LaunchTest, RanksHaveTheirIntraOpThreads) {
  const int before = intra_op_threads();
  run_ranks(2, 3, [](Communicator&) { EXPECT_EQ(intra_op_threads(), 3); });
  run_ranks(1, 5, [](Communicator&) { EXPECT_EQ(intra_op_threads(), 5); });
  EXPECT_EQ(intra_op_threads(), before);
  EXPECT_THROW(run_ranks(1, 5, [](Communicator&) { throw CustomError("boom"); }), CustomError);
  EXPECT_EQ(intra_op_threads(), before);
  const int cores = available_cores();
  EXPECT_GE(cores, 1);
  run_ranks(1, 0, [&](Communicator&) { EXPECT_EQ(intra_op_threads(), cores); });
  run_ranks(2, 0, [&](Communicator&) { EXPECT_EQ(intra_op_threads(), std::max(1, cores / 2)); });
  run_ranks(64, 0, [&](Communicator&) { EXPECT_GE(intra_op_threads(), 1); });
}

TEST(LaunchTest, TwoRunsAtOnceAreIndependent) {
  const auto run = [](float value) {
    run_ranks(3, 1, [value](Communicator& world) {
      for (int round = 0; round < 200; ++round) {
        Tensor x = Tensor::full({10}, value);
        world.all_reduce(x);
        EXPECT_EQ(x.data<float>()[9], 3.0f * value);
      }
    });
  };
  std::thread other(run, 1.0f);
  EXPECT_THROW(run_ranks(2, 1,
                         [](Communicator& world) {
                           if (world.rank() == 0) throw CustomError("boom");
                           world.barrier();
                         }),
               CustomError);
  run(2.0f);
  other.join();
}

TEST(LaunchTest, RejectsImpossibleSizes) {
  EXPECT_THROW(run_ranks(0, 1, [](Communicator&) {}), Error);
  EXPECT_THROW(run_ranks(2, -1, [](Communicator&) {}), Error);
}

}  // namespace
}  // namespace shardgrad
