#include "parallel/processes.h"

#include <errno.h>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <utility>

#include "parallel/run_rank.h"

namespace shardgrad {
namespace {

constexpr const char* kWhere = "run_ranks";

// What carries tensors between the processes: as choose_backend() decides for threads, but that
// GPUs of different nodes are different ones. The processes decide together.
CommunicatorBackend choose_process_backend(const RunOptions& options, const ProcessPlace& place,
                                           HostCommunicator& host) {
  choose_backend(options.devices, CommunicatorBackend::Thread);  // checks the devices
  if (options.backend == CommunicatorBackend::Thread) return options.backend;
  std::vector<Device> local_devices;
  for (int rank = 0; rank < place.world_size; ++rank) {
    if (place.nodes[rank] == place.nodes[place.rank])
      local_devices.push_back(options.devices[rank]);
  }
  const std::string obstacle = why_no_nccl(local_devices);
  require(options.backend == CommunicatorBackend::Auto || obstacle.empty(), kWhere,
          "the nccl backend cannot be used: {}; choose auto", obstacle);
  Tensor ranks_without = Tensor::full({1}, obstacle.empty() ? 0.0 : 1.0);
  host.all_reduce(ranks_without);
  return ranks_without.item() == 0.0 && place.world_size > 1 ? CommunicatorBackend::Nccl
                                                             : CommunicatorBackend::Thread;
}

}  // namespace

Processes::Processes(const LaunchEnvironment& started) {
  place_.cores = available_cores();
  if (started.launcher.empty()) return;
  require(mpi_linked(), kWhere,
          "{} has started this program as one of several processes, but it was built without MPI; "
          "start it by itself, or link it with //parallel:mpi",
          started.launcher);
  link_ = join_mpi();
  place_ = link_->place();
  require(
      started.size == 0 || started.size == place_.world_size, kWhere,
      "{} has started {} processes, of which MPI connects {}; start them with the mpirun of the "
      "MPI that this program is linked with, or with srun --mpi=pmix",
      started.launcher, started.size, place_.world_size);
}

Processes::~Processes() {
  if (link_ != nullptr && !link_->failure().empty()) {
    end_after_failure(program_invocation_short_name, link_->failure());
  }
}

int Processes::local_rank_of(int rank) const {
  if (link_ == nullptr) return rank;
  const auto own = place_.nodes.begin() + rank;
  return static_cast<int>(std::count(place_.nodes.begin(), own, *own));
}

int Processes::threads_per_rank(int world_size, int requested) const {
  if (link_ == nullptr) return shardgrad::threads_per_rank(world_size, requested);
  return requested > 0 ? requested : std::max(1, place_.cores);
}

void Processes::run_ranks(const RunOptions& options,
                          const std::function<void(Communicator&)>& body) {
  if (link_ == nullptr) return shardgrad::run_ranks(options, body);
  require(static_cast<int>(options.devices.size()) == place_.world_size, kWhere,
          "there are {} devices for {} processes; expected one for each", options.devices.size(),
          place_.world_size);
  require(options.intra_op_threads >= 0, kWhere,
          "intra_op_threads {} is negative; choose 0 for an equal share of the cores",
          options.intra_op_threads);
  const IntraOpThreadsScope scope(threads_per_rank(place_.world_size, options.intra_op_threads));
  std::unique_ptr<Communicator> communicator;
  std::exception_ptr failure;
  try {
    std::unique_ptr<HostCommunicator> host = link_->world();
    const CommunicatorBackend backend = choose_process_backend(options, place_, *host);
    run_rank(backend, options.devices[place_.rank], std::move(host), communicator, body);
  } catch (...) {
    failure = std::current_exception();
    link_->fail(message_of(failure));
  }
  if (communicator != nullptr) communicator->background_threads().join();
  communicator.reset();
  if (failure) std::rethrow_exception(failure);
  link_->wait_for_all();
}

void Processes::report(const char* program, const std::string& message) noexcept {
  if (link_ == nullptr) {
    std::fprintf(stderr, "%s: error: %s\n", program, message.c_str());
    return;
  }
  link_->fail(message);
  // What fails on every rank is reported by rank 0, in the words of a run without MPI.
  end_after_failure(
      program, place_.rank > 0 ? fmt::format("rank {} failed: {}", place_.rank, message) : message);
}

void Processes::end_after_failure(const char* program, const std::string& line) noexcept {
  if (link_->has_to_report()) std::fprintf(stderr, "%s: error: %s\n", program, line.c_str());
  std::fflush(nullptr);
  link_->end_all(1);
}

}  // namespace shardgrad
