// What NCCL refuses, and how the error of one rank reaches the others.
#include <atomic>
#include <chrono>

#include "tests/simt/nccl_testing.h"

namespace simt {
namespace {

using ::testing::HasSubstr;

TEST_F(Nccl, TwoRanksOnOneDeviceAreRefused) {
  ncclUniqueId id;
  ncclGetUniqueId(&id);
  on_threads(2, [&](int rank) {
    cudaSetDevice(1);
    ncclComm_t comm = nullptr;
    EXPECT_EQ(ncclCommInitRank(&comm, 2, id, rank), ncclInvalidUsage);
    EXPECT_EQ(comm, nullptr);
  });
  EXPECT_THAT(take_report(), HasSubstr("are both on device 1"));
}

TEST_F(Nccl, MissingRankIsReportedAtInitialization) {
  config().timeout_seconds = 0.05;
  ncclUniqueId id;
  ncclGetUniqueId(&id);
  ncclComm_t comm = nullptr;
  EXPECT_EQ(ncclCommInitRank(&comm, 2, id, 0), ncclSystemError);
  EXPECT_THAT(take_report(), HasSubstr("only 1 of 2 ranks have come"));
}

/// Two ranks of which the first calls one thing and the second another; both must see an error.
class NcclMismatch : public Nccl {
 protected:
  std::string report_of(const std::function<void(int, float*, ncclComm_t)>& body) {
    run_ranks(2, [&](int rank, ncclComm_t comm) {
      DeviceArray<float> x(std::vector<float>(8, 1));
      body(rank, x.data(), comm);
      cudaDeviceSynchronize();
      ncclResult_t error = ncclSuccess;
      ncclCommGetAsyncError(comm, &error);
      EXPECT_NE(error, ncclSuccess);
      EXPECT_NE(ncclAllReduce(x.data(), x.data(), 1, ncclFloat32, ncclSum, comm, nullptr),
                ncclSuccess);
      EXPECT_STRNE(ncclGetLastError(comm), "");
      ncclCommAbort(comm);
    });
    return take_report();
  }
};

TEST_F(NcclMismatch, Counts) {
  const std::string message = report_of([](int rank, float* x, ncclComm_t comm) {
    ncclAllReduce(x, x, rank == 0 ? 8 : 7, ncclFloat32, ncclSum, comm, nullptr);
  });
  EXPECT_THAT(message, HasSubstr("rank 0 calls ncclAllReduce of 8 elements"));
  EXPECT_THAT(message, HasSubstr("rank 1 calls ncclAllReduce of 7 elements"));
}
TEST_F(NcclMismatch, Types) {
  report_of([](int rank, float* x, ncclComm_t comm) {
    ncclAllReduce(x, x, 4, rank == 0 ? ncclFloat32 : ncclInt32, ncclSum, comm, nullptr);
  });
}
TEST_F(NcclMismatch, Operations) {
  report_of([](int rank, float* x, ncclComm_t comm) {
    ncclAllReduce(x, x, 4, ncclFloat32, rank == 0 ? ncclSum : ncclMax, comm, nullptr);
  });
}
TEST_F(NcclMismatch, Collectives) {
  report_of([](int rank, float* x, ncclComm_t comm) {
    if (rank == 0) {
      ncclAllReduce(x, x, 4, ncclFloat32, ncclSum, comm, nullptr);
    } else {
      ncclBroadcast(x, x, 4, ncclFloat32, 0, comm, nullptr);
    }
  });
}
TEST_F(NcclMismatch, Roots) {
  report_of([](int rank, float* x, ncclComm_t comm) {
    ncclBroadcast(x, x, 4, ncclFloat32, rank, comm, nullptr);
  });
}
TEST_F(NcclMismatch, SentAndReceivedCounts) {
  report_of([](int rank, float* x, ncclComm_t comm) {
    if (rank == 0) {
      ncclSend(x, 4, ncclFloat32, 1, comm, nullptr);
    } else {
      ncclRecv(x, 5, ncclFloat32, 0, comm, nullptr);
    }
  });
}
TEST_F(NcclMismatch, CollectiveThatOneRankNeverCalls) {
  config().timeout_seconds = 0.1;
  EXPECT_THAT(report_of([](int rank, float* x, ncclComm_t comm) {
                if (rank == 0) ncclAllReduce(x, x, 4, ncclFloat32, ncclSum, comm, nullptr);
                ncclResult_t error = ncclSuccess;
                while (error == ncclSuccess) ncclCommGetAsyncError(comm, &error);
              }),
              HasSubstr("rank 0 waits in ncclAllReduce of 4 elements of type 7 with operation 0 "
                        "for rank 1"));
}

TEST_F(Nccl, DestroyedRankIsNotWaitedFor) {
  run_ranks(2, [](int rank, ncclComm_t comm) {
    DeviceArray<float> x(4);
    if (rank == 0) {
      ncclAllReduce(x.data(), x.data(), 4, ncclFloat32, ncclSum, comm, nullptr);
      cudaDeviceSynchronize();
    }
    ncclCommDestroy(comm);
  });
  EXPECT_THAT(take_report(), HasSubstr("which destroyed its communicator"));
}

TEST_F(Nccl, BadBuffers) {
  run_ranks(2, [](int rank, ncclComm_t comm) {
    std::vector<float> host(4);
    DeviceArray<float> x(4);
    if (rank == 0) {
      EXPECT_EQ(ncclAllReduce(host.data(), x.data(), 4, ncclFloat32, ncclSum, comm, nullptr),
                ncclInvalidArgument);
      EXPECT_THAT(last_message(), HasSubstr("ncclAllReduce, rank 0 of 2: sendbuff"));
      EXPECT_THAT(last_message(), HasSubstr("a host pointer?"));
      EXPECT_EQ(ncclAllGather(x.data(), x.data(), 4, ncclFloat32, comm, nullptr),
                ncclInvalidArgument);
      EXPECT_THAT(last_message(), HasSubstr("recvbuff"));
      EXPECT_THAT(last_message(), HasSubstr("takes 32 bytes"));
      EXPECT_EQ(ncclAllReduce(x.data(), x.data() + 1, 3, ncclFloat32, ncclSum, comm, nullptr),
                ncclInvalidUsage);
      EXPECT_THAT(last_message(), HasSubstr("overlap"));
      clear_errors();
    }
    ncclCommDestroy(comm);
  });
}

/// A rank goes in one way or another while the others wait: their waits end, and they know.
class NcclFailure : public Nccl {
 protected:
  void check(bool deferred, const std::function<void(ncclComm_t)>& go) {
    config().deferred = deferred;
    std::atomic<int> waiting{0};
    run_ranks(3, [&](int rank, ncclComm_t comm) {
      DeviceArray<float> x(std::vector<float>(4, 1));
      ncclAllReduce(x.data(), x.data(), 4, ncclFloat32, ncclSum, comm, cudaStreamPerThread);
      EXPECT_EQ(x.get()[0], 3.0f);
      if (rank == 2) {
        while (waiting < 2) std::this_thread::yield();
        go(comm);
        return;
      }
      ++waiting;
      ncclAllReduce(x.data(), x.data(), 4, ncclFloat32, ncclSum, comm, cudaStreamPerThread);
      EXPECT_EQ(cudaStreamSynchronize(cudaStreamPerThread), cudaSuccess);
      ncclResult_t error = ncclSuccess;
      EXPECT_EQ(ncclCommGetAsyncError(comm, &error), ncclSuccess);
      EXPECT_EQ(error, ncclRemoteError);
      EXPECT_NE(x.get()[0], x.get()[0]);  // NaN: nobody may take it for a result
      EXPECT_EQ(ncclCommAbort(comm), ncclSuccess);
    });
  }
};

TEST_F(NcclFailure, AbortEndsTheOthersWaits) {
  for (const bool deferred : {false, true}) {
    check(deferred, [](ncclComm_t comm) { ncclCommAbort(comm); });
  }
}

TEST_F(NcclFailure, VanishedRankEndsTheOthersWaits) {
  for (const bool deferred : {false, true}) {
    check(deferred, [](ncclComm_t comm) { simtNcclVanish(comm); });
  }
}

TEST_F(NcclFailure, VanishedDeviceEndsTheOthersWaits) {
  check(false, [](ncclComm_t) { simtNcclVanishFrom(2); });
}

TEST_F(Nccl, AnotherThreadAbortsTheRankThatWaits) {
  run_ranks(2, [](int rank, ncclComm_t comm) {
    if (rank == 1) {
      ncclResult_t error = ncclSuccess;
      while (error == ncclSuccess) ncclCommGetAsyncError(comm, &error);
      ncclCommAbort(comm);
      return;
    }
    DeviceArray<float> x(4);
    std::thread watchdog([comm] {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      ncclCommAbort(comm);
    });
    ncclAllReduce(x.data(), x.data(), 4, ncclFloat32, ncclSum, comm, nullptr);
    cudaDeviceSynchronize();
    watchdog.join();
  });
}

TEST_F(Nccl, AbortedCommunicatorIsNoHandleAnyMore) {
  ncclComm_t comm = nullptr;
  ASSERT_EQ(ncclCommInitAll(&comm, 1, nullptr), ncclSuccess);
  ASSERT_EQ(ncclCommAbort(comm), ncclSuccess);
  DeviceArray<float> x(4);
  EXPECT_EQ(ncclAllReduce(x.data(), x.data(), 4, ncclFloat32, ncclSum, comm, nullptr),
            ncclInvalidArgument);
  EXPECT_THAT(take_report(), HasSubstr("destroyed or aborted"));
}

}  // namespace
}  // namespace simt
