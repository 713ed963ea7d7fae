// Ranks for the tests of NCCL: a host thread and a device each.
#pragma once

#include <nccl.h>

#include <functional>
#include <thread>

#include "tests/simt/simt_testing.h"

namespace simt {

class Nccl : public SimtTest {
 protected:
  void SetUp() override {
    SimtTest::SetUp();
    config().devices = 4;
  }

  /// body(rank, communicator) on a host thread and a device for each rank.
  static void run_ranks(int ranks, const std::function<void(int, ncclComm_t)>& body) {
    ncclUniqueId id;
    ASSERT_EQ(ncclGetUniqueId(&id), ncclSuccess);
    on_threads(ranks, [&](int rank) {
      ncclComm_t comm = nullptr;
      ASSERT_EQ(ncclCommInitRank(&comm, ranks, id, rank), ncclSuccess);
      body(rank, comm);
    });
  }
  static void on_threads(int count, const std::function<void(int)>& body) {
    std::vector<std::thread> threads;
    for (int i = 0; i < count; ++i) {
      threads.emplace_back([&body, i] {
        cudaSetDevice(i);
        body(i);
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
};

}  // namespace simt
