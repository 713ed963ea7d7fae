// A rank that waits for another takes pieces of its work, if it has a core of its own.
#include "parallel/thread_barrier.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <thread>

#include "parallel/communication_queue.h"
#include "parallel/launch.h"
#include "tensor/parallel_for.h"

namespace shardgrad {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// Performs a job of 20 pieces on one thread, each of which takes until another thread has had one,
// or the time is up. Returns how many pieces other threads had; each calls on_help() first.
int pieces_of_helpers(
    milliseconds patience, const std::function<void()>& on_help = [] {}) {
  set_intra_op_threads(1);
  const std::thread::id self = std::this_thread::get_id();
  const auto deadline = steady_clock::now() + patience;
  std::atomic<int> helped{0}, all{0};
  parallel_pieces(20, [&](const auto& take) {
    for (std::int64_t piece = take(); piece >= 0; piece = take()) {
      ++all;
      if (std::this_thread::get_id() != self) {
        on_help();
        ++helped;
      }
      while (helped == 0 && steady_clock::now() < deadline) std::this_thread::yield();
    }
  });
  EXPECT_EQ(all, 20);
  return helped;
}

constexpr milliseconds kLong{30000};

class ThreadBarrierHelp : public ::testing::Test {
 protected:
  // Runs wait(), in which a thread waits at `barrier`, beside work().
  static void run(const std::function<void()>& wait, const std::function<void()>& work) {
    std::thread waiting([&] {
      set_intra_op_threads(1);
      wait();
    });
    std::thread working(work);
    waiting.join();
    working.join();
  }

  ThreadBarrier barrier{2, /*polls=*/true};
};

TEST_F(ThreadBarrierHelp, IsForTheThreadThatIsWaitedFor) {
  run([&] { EXPECT_TRUE(barrier.arrive_and_wait(/*helps=*/true)); },
      [&] {
        EXPECT_GT(pieces_of_helpers(kLong), 0);
        EXPECT_TRUE(barrier.arrive_and_wait());
      });
}

TEST_F(ThreadBarrierHelp, WakesForWorkThatComesLate) {
  run([&] { barrier.arrive_and_wait_uninterruptibly(/*helps=*/true); },
      [&] {
        std::this_thread::sleep_for(milliseconds(50));
        EXPECT_GT(pieces_of_helpers(kLong), 0);
        barrier.arrive_and_wait_uninterruptibly();
      });
}

TEST_F(ThreadBarrierHelp, EndsWithThePieceInWhichTheWaitIsInterrupted) {
  run([&] { EXPECT_FALSE(barrier.arrive_and_wait(/*helps=*/true)); },
      [&] { EXPECT_EQ(pieces_of_helpers(kLong, [&] { barrier.interrupt(); }), 1); });
}

// Each look for work wakes the core, which other programs may need.
TEST_F(ThreadBarrierHelp, IsOfferedMoreAndMoreSeldom) {
  long sleeps = 0;
  run(
      [&] {
        rusage before{}, after{};
        getrusage(RUSAGE_THREAD, &before);
        EXPECT_TRUE(barrier.arrive_and_wait(/*helps=*/true));
        getrusage(RUSAGE_THREAD, &after);
        sleeps = after.ru_nvcsw - before.ru_nvcsw;
      },
      [&] {
        std::this_thread::sleep_for(milliseconds(500));
        EXPECT_TRUE(barrier.arrive_and_wait());
      });
  EXPECT_GE(sleeps, 2);
  EXPECT_LE(sleeps, 150);  // 7 of 0.1 ms and doubled, and then one each 10 ms
}

TEST_F(ThreadBarrierHelp, IsNotForEveryThread) {
  run([&] { EXPECT_TRUE(barrier.arrive_and_wait(/*helps=*/false)); },
      [&] {
        EXPECT_EQ(pieces_of_helpers(milliseconds(50)), 0);
        EXPECT_TRUE(barrier.arrive_and_wait());
      });
}

// Without a core for each rank, a rank that is not waiting has the core already.
TEST(RanksThatWait, HelpWhereEachHasACore) {
  for (int ranks : {2, 2 * available_cores() + 1}) {
    const bool have_cores = ranks <= available_cores();
    run_ranks(ranks, 1, [&](Communicator& group) {
      if (group.rank() == 0) {
        const int helped = pieces_of_helpers(have_cores ? kLong : milliseconds(50));
        EXPECT_EQ(helped > 0, have_cores) << ranks << " ranks";
      }
      group.barrier();
    });
  }
}

// What a queue communicates is waited for beside the rank's own work.
TEST(RanksThatWait, LeaveTheirCoreToTheirOwnWork) {
  run_ranks(2, 1, [](Communicator& group) {
    CommunicationQueue queue(group);
    if (group.rank() == 1) {
      EXPECT_EQ(pieces_of_helpers(milliseconds(50)), 0);
    }
    CommunicationQueue::Ticket ticket = queue.all_reduce(Tensor::zeros({4}));
    queue.wait(ticket);
  });
}

}  // namespace
}  // namespace shardgrad
