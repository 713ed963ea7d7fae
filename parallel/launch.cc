#include "parallel/launch.h"

#ifdef __linux__
#include <sched.h>
#endif

#include <algorithm>
#include <exception>
#include <memory>
#include <mutex>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include "parallel/run_rank.h"
#include "parallel/thread_communicator.h"
#include "tensor/allocator.h"
#include "tensor/parallel_for.h"

namespace shardgrad {
namespace {

// Keeps the exception of the rank that failed first, then releases the others. Theirs come later,
// since they are caused by the release.
class FirstFailure {
 public:
  void record(ThreadWorld& world, int rank, std::exception_ptr exception) {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      if (exception_) return;
      exception_ = exception;
    }
    world.fail(rank, message_of(exception));
  }

  void rethrow() const {
    if (exception_) std::rethrow_exception(exception_);
  }

 private:
  std::mutex mutex_;
  std::exception_ptr exception_;
};

}  // namespace

int available_cores() {
#ifdef __linux__
  cpu_set_t cores;
  CPU_ZERO(&cores);
  if (sched_getaffinity(0, sizeof(cores), &cores) == 0) return std::max(1, CPU_COUNT(&cores));
#endif
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

int threads_per_rank(int world_size, int requested) {
  return requested > 0 ? requested : std::max(1, available_cores() / world_size);
}

void run_ranks(int world_size, int intra_op_threads,
               const std::function<void(Communicator&)>& body) {
  require(world_size >= 1, "run_ranks", "world_size {} is below 1", world_size);
  RunOptions options;
  options.devices.resize(world_size);
  options.intra_op_threads = intra_op_threads;
  run_ranks(options, body);
}

void run_ranks(const RunOptions& options, const std::function<void(Communicator&)>& body) {
  require(options.intra_op_threads >= 0, "run_ranks",
          "intra_op_threads {} is negative; choose 0 for an equal share of the cores",
          options.intra_op_threads);
  const CommunicatorBackend backend = choose_backend(options.devices, options.backend);
  const int world_size = static_cast<int>(options.devices.size());
  const int cores = available_cores();
  const int threads = threads_per_rank(world_size, options.intra_op_threads);
  const bool each_thread_has_a_core = world_size <= cores / threads;
  const auto world = std::make_shared<ThreadWorld>(world_size, each_thread_has_a_core);
  std::vector<int> ranks(world_size);
  std::iota(ranks.begin(), ranks.end(), 0);
  const std::shared_ptr<ThreadGroup> group = ThreadGroup::create(world, ranks);

  const auto run_body = [&](int rank, std::unique_ptr<Communicator>& communicator) {
    run_rank(backend, options.devices[rank], std::make_unique<ThreadCommunicator>(group, rank),
             communicator, body);
  };
  if (world_size == 1) {
    const IntraOpThreadsScope scope(threads);
    std::unique_ptr<Communicator> communicator;
    return run_body(0, communicator);
  }

  FirstFailure first_failure;
  const auto run_thread = [&](int rank) {
    std::unique_ptr<Communicator> communicator;
    try {
      set_intra_op_threads(threads);
      world->start(rank);
      run_body(rank, communicator);
      world->finish(rank);
    } catch (...) {
      first_failure.record(*world, rank, std::current_exception());
    }
    if (communicator != nullptr) communicator->background_threads().join();
    communicator.reset();
    retire_thread();
  };
  std::vector<std::thread> rank_threads;
  rank_threads.reserve(world_size);
  for (int rank : ranks) {
    try {
      rank_threads.emplace_back(run_thread, rank);
    } catch (...) {  // no more threads to be had: release those that run
      first_failure.record(*world, rank, std::current_exception());
      break;
    }
  }
  for (std::thread& thread : rank_threads) thread.join();
  first_failure.rethrow();
}

}  // namespace shardgrad
