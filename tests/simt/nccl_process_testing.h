// Ranks for the tests of NCCL: a process and a device each.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <vector>

#include "tests/simt/nccl_testing.h"

namespace simt {

/// Ranks that are children of the test's process. Each ends with 0 if it has found no fault.
class NcclProcesses : public Nccl {
 protected:
  void SetUp() override {
    Nccl::SetUp();
    config().processes = true;
    config().timeout_seconds = 20;
  }

  /// body(rank, id) in a process and on a device for each rank; the first has made the id. Returns
  /// how they ended, as waitpid() tells.
  static std::vector<int> fork_ranks(int ranks,
                                     const std::function<void(int, const ncclUniqueId&)>& body) {
    int ids[2];
    EXPECT_EQ(pipe(ids), 0);
    std::vector<pid_t> children;
    for (int rank = 0; rank < ranks; ++rank) {
      children.push_back(fork());
      if (children.back() != 0) continue;
      cudaSetDevice(rank);
      ncclUniqueId id = {};
      if (rank == 0) {
        EXPECT_EQ(ncclGetUniqueId(&id), ncclSuccess);
        for (int other = 1; other < ranks; ++other) {
          EXPECT_EQ(write(ids[1], &id, sizeof id), static_cast<ssize_t>(sizeof id));
        }
      } else {
        EXPECT_EQ(read(ids[0], &id, sizeof id), static_cast<ssize_t>(sizeof id));
      }
      body(rank, id);
      _exit(HasFailure() || error_count() > 0 ? 1 : 0);
    }
    std::vector<int> statuses;
    for (const pid_t child : children) {
      statuses.push_back(-1);
      waitpid(child, &statuses.back(), 0);
    }
    close(ids[0]);
    close(ids[1]);
    return statuses;
  }

  /// The same with a communicator, and all are to end well.
  static void run_processes(int ranks, const std::function<void(int, ncclComm_t)>& body) {
    const auto statuses = fork_ranks(ranks, [&](int rank, const ncclUniqueId& id) {
      ncclComm_t comm = nullptr;
      ASSERT_EQ(ncclCommInitRank(&comm, ranks, id, rank), ncclSuccess);
      body(rank, comm);
    });
    EXPECT_EQ(statuses, std::vector<int>(static_cast<size_t>(ranks), 0));
  }
};

}  // namespace simt
