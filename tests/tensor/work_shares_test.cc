// Each piece of a loop is done once, whoever does it.
#include "tensor/work_shares.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "tensor/parallel_for.h"
#include "tests/tensor/kernel_testing.h"

namespace shardgrad {
namespace {

using kernel_testing::IntraOpThreads;

TEST(WorkShares, AThreadTakesItsOwnFromTheFrontAndThenTheOthersFromTheBack) {
  WorkShares shares(7, 3);  // 0 1, 2 3, 4 5 6
  EXPECT_EQ(shares.take(1), 2);
  EXPECT_EQ(shares.take(1), 3);
  EXPECT_EQ(shares.take(1), 6);  // of the one with most left
  EXPECT_EQ(shares.take(2), 4);
  EXPECT_EQ(shares.take(0), 0);
  EXPECT_EQ(shares.take(2), 5);
  EXPECT_EQ(shares.take(2), 1);
  for (int thread = 0; thread < 3; ++thread) EXPECT_EQ(shares.take(thread), -1);
}

TEST(WorkShares, OfNothingAreEmpty) {
  WorkShares shares(0, 2);
  EXPECT_EQ(shares.take(0), -1);
  EXPECT_EQ(shares.take(1), -1);
}

TEST(WorkShares, ThreadsThatRaceTakeEachPieceOnce) {
  constexpr int kPieces = 20000, kThreads = 4;
  for (int round = 0; round < 10; ++round) {
    WorkShares shares(kPieces, kThreads);
    std::vector<std::atomic<int>> taken(kPieces);
    std::atomic<int> first_share{0};  // pieces of thread 0 that are taken
    std::vector<std::thread> threads;
    for (int thread = 0; thread < kThreads; ++thread) {
      threads.emplace_back([&, thread] {
        // The first begins when the others take its pieces, so that it races with them.
        while (thread == 0 && first_share == 0) std::this_thread::yield();
        for (std::int64_t piece = shares.take(thread); piece >= 0; piece = shares.take(thread)) {
          ++taken[static_cast<std::size_t>(piece)];
          if (piece < kPieces / kThreads) ++first_share;
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    for (int piece = 0; piece < kPieces; ++piece) ASSERT_EQ(taken[piece], 1) << piece;
  }
}

TEST(ParallelFor, CoversEachIterationOnce) {
  for (int threads : {1, 2, 3, 7}) {
    const IntraOpThreads scope(threads);
    for (std::int64_t count : {0, 1, 2, 13, 100, 1001}) {
      for (std::int64_t grain : {1, 5, 400}) {
        std::vector<std::atomic<int>> done(static_cast<std::size_t>(count));
        parallel_for(count, grain, [&](std::int64_t begin, std::int64_t end) {
          EXPECT_LT(begin, end);
          for (std::int64_t i = begin; i < end; ++i) ++done[static_cast<std::size_t>(i)];
        });
        for (const std::atomic<int>& times : done) {
          ASSERT_EQ(times, 1) << count << " by " << grain << " on " << threads;
        }
      }
    }
  }
}

// A range of its own for each thread is worth its start only from `grain` iterations on.
TEST(ParallelFor, RangesHaveTheGrain) {
  const IntraOpThreads scope(4);
  for (std::int64_t count : {100, 1000, 5000}) {
    std::atomic<std::int64_t> shortest{count}, ranges{0};
    parallel_for(count, 60, [&](std::int64_t begin, std::int64_t end) {
      std::int64_t seen = shortest;
      while (end - begin < seen && !shortest.compare_exchange_weak(seen, end - begin)) {
      }
      ++ranges;
    });
    EXPECT_GE(shortest, 60) << count;
    EXPECT_EQ(ranges == 1, count < 120) << count;
  }
}

TEST(ParallelPieces, EachThreadCallsOnceAndNestedLoopsStayOnIt) {
  const IntraOpThreads scope(3);
  std::atomic<int> bodies{0}, nested{0}, pieces{0};
  parallel_pieces(30, [&](const auto& take) {
    ++bodies;
    for (std::int64_t piece = take(); piece >= 0; piece = take()) {
      ++pieces;
      parallel_pieces(5, [&](const auto&) { ++nested; });
    }
  });
  EXPECT_EQ(pieces, 30);
  EXPECT_EQ(nested, 30);
  EXPECT_LE(bodies, 3);
  EXPECT_GE(bodies, 1);
}

}  // namespace
}  // namespace shardgrad
