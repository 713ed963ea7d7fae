// Processes: the ranks of a run as processes that mpirun has started, or as threads of this one.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "parallel/host_communicator.h"
#include "parallel/launch.h"
#include "parallel/launch_environment.h"

namespace shardgrad {

/// Which of the processes of a run this is. A process that was started by itself is rank 0 of one,
/// whatever ranks it has as threads.
struct ProcessPlace {
  bool launched_by_mpi = false;
  int world_size = 1;
  int rank = 0;
  int local_size = 1;         ///< processes of the run on this node
  int local_rank = 0;         ///< this one's number among them
  int cores = 0;              ///< this one's share of the cores of its node
  std::vector<int> nodes{0};  ///< of each rank: a number that ranks of the same node share
};

/// What connects this process to the others of its run: made by the MPI library, used by Processes.
class ProcessLink {
 public:
  /// Takes leave of the others, who do the same; returns when all have.
  virtual ~ProcessLink() = default;

  virtual const ProcessPlace& place() const = 0;

  /// The communicator of all processes, for one run. The link must outlive it.
  virtual std::unique_ptr<HostCommunicator> world() = 0;

  /// Ends this rank's part of the run: its communicators are of no use any more. Returns when every
  /// rank has done so. @throws Error when one fails.
  virtual void wait_for_all() = 0;

  /// Says that this rank has failed. Nothing new if the reason is another rank's failure.
  virtual void fail(const std::string& reason) noexcept = 0;

  /// "rank 1 failed: ...", or "" while no rank has.
  virtual std::string failure() const = 0;

  /// After a failure: whether it is this process that has to report it. One process of the run is
  /// told so; the others may wait in here until they are ended.
  virtual bool has_to_report() noexcept = 0;

  /// Ends all processes of the run, this one with `status`.
  [[noreturn]] virtual void end_all(int status) noexcept = 0;
};

/// Joins the processes that mpirun has started. Defined by //parallel:mpi.
/// @throws Error when the MPI library cannot be used.
[[gnu::weak]] std::unique_ptr<ProcessLink> join_mpi();

/// Whether this program was linked with MPI.
inline bool mpi_linked() { return join_mpi != nullptr; }

/// The processes of a program, which makes one object of this class and keeps it to its end.
///
/// When mpirun (or srun) has started the program, each process is one rank of a run, connected by
/// MPI. Otherwise the ranks of a run are threads. The results are the same, bit for bit.
class Processes {
 public:
  /// @throws Error when `started` says that there are several processes, and they cannot be
  /// connected: never does each of them take itself for the only one.
  explicit Processes(const LaunchEnvironment& started = launch_environment());
  Processes(const Processes&) = delete;
  Processes& operator=(const Processes&) = delete;

  const ProcessPlace& place() const { return place_; }

  /// Whether this is the process that prints and writes files.
  bool leads() const { return place_.rank == 0; }

  /// The ranks of a run: all processes under MPI, else the `wanted` threads.
  int world_size(int wanted) const { return place_.launched_by_mpi ? place_.world_size : wanted; }

  /// The number of `rank` among the ranks of its node.
  int local_rank_of(int rank) const;

  /// The intra-op threads of each of `world_size` ranks when `requested` are asked for. 0 stands
  /// for an equal share of the cores that the ranks of this node may run on, at least one.
  int threads_per_rank(int world_size, int requested) const;

  /// As run_ranks() of launch.h when the ranks are threads. Under MPI, runs `body` for this
  /// process's rank, on the calling thread, and returns when every rank has finished.
  /// `options.devices` has the device of every rank; indices count the GPUs of that rank's node.
  /// The backend Thread stands for MPI, which copies CUDA tensors through the host, and Auto for
  /// NCCL where each rank has a GPU of its own, else MPI.
  ///
  /// If a rank throws, the others' calls throw Error, and the first exception is rethrown in its
  /// process. The job is then lost: what remains is to report(), or to end.
  /// @throws Error as run_ranks(), and when there are not as many devices as processes.
  void run_ranks(const RunOptions& options, const std::function<void(Communicator&)>& body);

  /// Prints `message` as `PROGRAM: error: message` on stderr, once for all processes, of which the
  /// one that failed first prints. Ends all of them under MPI, else returns.
  void report(const char* program, const std::string& message) noexcept;

  /// Ends the job if it has failed and nobody reported it.
  ~Processes();

 private:
  void end_after_failure(const char* program, const std::string& line) noexcept;

  std::unique_ptr<ProcessLink> link_;  // null when the ranks are threads
  ProcessPlace place_;
};

}  // namespace shardgrad
