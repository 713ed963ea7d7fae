// Collectives on a second thread give what the same calls give on the rank's own.
#include "parallel/communication_queue.h"

#include <gtest/gtest.h>

#include <stdexcept>
#include <vector>

#include "parallel/launch.h"
#include "tests/support/error_of.h"
#include "tests/support/reference.h"

namespace shardgrad {
namespace {

Tensor numbers(int rank, std::int64_t count, int seed) {
  Tensor x = Tensor::empty({count}, DType::Float32);
  for (std::int64_t i = 0; i < count; ++i) {
    x.data<float>()[i] = 0.37f * static_cast<float>((i * 7919 + rank * 104729 + seed) % 2003);
  }
  return x;
}

TEST(CommunicationQueue, GivesTheBitsOfTheSameCallsOnTheGroup) {
  for (int ranks : {1, 2, 4}) {
    run_ranks(ranks, 1, [&](Communicator& group) {
      CommunicationQueue queue(group);
      std::vector<Tensor> sums, parts, wholes;
      std::vector<CommunicationQueue::Ticket> tickets;
      for (int i = 0; i < 20; ++i) {
        sums.push_back(numbers(group.rank(), 1000 + i, i));
        tickets.push_back(queue.all_reduce(sums.back()));
        parts.push_back(Tensor::empty({10 + i}, DType::Float32));
        tickets.push_back(
            queue.reduce_scatter(numbers(group.rank(), (10 + i) * ranks, i), parts.back()));
        wholes.push_back(Tensor::empty({(7 + i) * ranks}, DType::Float32));
        tickets.push_back(queue.all_gather(numbers(group.rank(), 7 + i, i), wholes.back()));
      }
      for (CommunicationQueue::Ticket& ticket : tickets) queue.wait(ticket);
      for (int i = 0; i < 20; ++i) {
        Tensor sum = numbers(group.rank(), 1000 + i, i);
        group.all_reduce(sum);
        EXPECT_TRUE(reference::bitwise_equal(sums[i], sum));
        Tensor part = Tensor::empty({10 + i}, DType::Float32);
        group.reduce_scatter(numbers(group.rank(), (10 + i) * ranks, i), part);
        EXPECT_TRUE(reference::bitwise_equal(parts[i], part));
        Tensor whole = Tensor::empty({(7 + i) * ranks}, DType::Float32);
        group.all_gather(numbers(group.rank(), 7 + i, i), whole);
        EXPECT_TRUE(reference::bitwise_equal(wholes[i], whole));
      }
      const CommunicationStats stats = queue.stats();
      EXPECT_EQ(stats.all_reduce.calls, ranks == 1 ? 0 : 20);
      EXPECT_EQ(stats.reduce_scatter.calls, ranks == 1 ? 0 : 20);
      EXPECT_EQ(stats.all_gather.calls, ranks == 1 ? 0 : 20);
    });
  }
}

TEST(CommunicationQueue, RunsBesideCollectivesOfTheGroupItself) {
  run_ranks(2, 1, [](Communicator& group) {
    CommunicationQueue queue(group);
    for (int i = 0; i < 200; ++i) {
      Tensor queued = Tensor::full({100}, group.rank() + i, DType::Float64);
      CommunicationQueue::Ticket ticket = queue.all_reduce(queued);
      Tensor direct = Tensor::full({3}, 10.0 * group.rank() + i, DType::Float64);
      group.all_reduce(direct);
      queue.wait(ticket);
      EXPECT_EQ(queued.slice(0, 99, 1).item(), 1.0 + 2 * i);
      EXPECT_EQ(direct.slice(0, 2, 1).item(), 10.0 + 2 * i);
    }
  });
}

TEST(CommunicationQueue, MismatchedCallsAreAnErrorOfWait) {
  const std::string error = error_of([] {
    run_ranks(2, 1, [](Communicator& group) {
      CommunicationQueue queue(group);
      CommunicationQueue::Ticket ticket =
          queue.all_reduce(Tensor::zeros({group.rank() + 1}, DType::Float32));
      queue.wait(ticket);
    });
  });
  EXPECT_NE(error.find("all_reduce"), std::string::npos) << error;
}

// The others have not come: the thread waits for them while the rank's own error is on its way.
TEST(CommunicationQueue, ARankThatThrowsWithACollectiveUnderWayEndsTheRunWithItsError) {
  const std::string error = error_of([] {
    run_ranks(2, 1, [](Communicator& group) {
      CommunicationQueue queue(group);
      if (group.rank() == 1) {
        const CommunicationQueue::Ticket ticket =
            queue.all_reduce(Tensor::zeros({1000}, DType::Float32));
        fail("test", "the disk is full");
      }
      group.barrier();
    });
  });
  EXPECT_NE(error.find("the disk is full"), std::string::npos) << error;
}

}  // namespace
}  // namespace shardgrad
