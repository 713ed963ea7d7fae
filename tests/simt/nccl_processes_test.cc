// NCCL between processes: every collective, more data than passes at once, and ranks that are lost.
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>

#include "tests/simt/nccl_process_testing.h"

namespace simt {
namespace {

using ::testing::HasSubstr;

/// Small whole numbers, whose sums every type holds.
float value(int rank, size_t i) {
  return static_cast<float>((i * 5 + static_cast<size_t>(rank) * 3) % 7);
}
template <class T>
std::vector<T> values(int rank, size_t count) {
  std::vector<T> result(count);
  for (size_t i = 0; i < count; ++i) result[i] = static_cast<T>(value(rank, i));
  return result;
}

template <class T>
void check_collectives(int rank, int ranks, size_t count, ncclDataType_t type, ncclComm_t comm) {
  const auto stream = cudaStreamPerThread;
  const size_t all = count * static_cast<size_t>(ranks), begin = static_cast<size_t>(rank) * count;
  const auto sum = [&](size_t i) {
    float total = 0;
    for (int other = 0; other < ranks; ++other) total += value(other, i);
    return total;
  };
  const int root = ranks - 1;
  const DeviceArray<T> mine(values<T>(rank, all));
  DeviceArray<T> reduced(values<T>(rank, all)), part(count), at_root(all), from_root(count);
  DeviceArray<T> gathered(all), largest(all), from_left(count);
  ncclAllReduce(reduced.data(), reduced.data(), all, type, ncclSum, comm, stream);
  ncclAllReduce(mine.data(), largest.data(), all, type, ncclMax, comm, stream);
  ncclReduceScatter(mine.data(), part.data(), count, type, ncclSum, comm, stream);
  ncclReduce(mine.data(), at_root.data(), all, type, ncclSum, root, comm, stream);
  ncclAllGather(mine.data(), gathered.data(), count, type, comm, stream);
  ncclBroadcast(mine.data(), from_root.data(), count, type, root, comm, stream);
  ncclGroupStart();
  ncclSend(mine.data(), count, type, (rank + 1) % ranks, comm, stream);
  ncclRecv(from_left.data(), count, type, (rank + ranks - 1) % ranks, comm, stream);
  ncclGroupEnd();
  ASSERT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
  const auto reduced_got = reduced.get(), largest_got = largest.get(), root_got = at_root.get();
  const auto gathered_got = gathered.get(), part_got = part.get();
  for (size_t i = 0; i < all; ++i) {
    float most = 0;
    for (int other = 0; other < ranks; ++other) most = std::max(most, value(other, i));
    ASSERT_EQ(static_cast<float>(reduced_got[i]), sum(i)) << i;
    ASSERT_EQ(static_cast<float>(largest_got[i]), most) << i;
    if (rank == root) {
      ASSERT_EQ(static_cast<float>(root_got[i]), sum(i)) << i;
    }
    ASSERT_EQ(static_cast<float>(gathered_got[i]), value(static_cast<int>(i / count), i % count));
  }
  for (size_t i = 0; i < count; ++i) ASSERT_EQ(static_cast<float>(part_got[i]), sum(begin + i));
  const auto root_sent = from_root.get(), left_sent = from_left.get();
  for (size_t i = 0; i < count; ++i) {
    ASSERT_EQ(static_cast<float>(root_sent[i]), value(root, i)) << i;
    ASSERT_EQ(static_cast<float>(left_sent[i]), value((rank + ranks - 1) % ranks, i)) << i;
  }
  // In place: each rank's part lies where it will be.
  ncclReduceScatter(gathered.data(), gathered.data() + begin, count, type, ncclMax, comm, stream);
  ncclAllGather(gathered.data() + begin, gathered.data(), count, type, comm, stream);
  ASSERT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
  const auto again = gathered.get();
  for (size_t i = 0; i < all; ++i) {
    ASSERT_EQ(static_cast<float>(again[i]), static_cast<float>(gathered_got[i])) << i;
  }
}

TEST_F(NcclProcesses, EveryCollectiveInEverySize) {
  for (const bool deferred : {false, true}) {
    config().deferred = deferred;
    for (const int ranks : {2, 3}) {
      run_processes(ranks, [&](int rank, ncclComm_t comm) {
        // The last are one piece, and several of which the last is not full.
        for (const size_t count : {1, 7, 1000, 16384, 70001}) {
          check_collectives<float>(rank, ranks, count, ncclFloat32, comm);
        }
        check_collectives<__nv_bfloat16>(rank, ranks, 40003, ncclBfloat16, comm);
        check_collectives<double>(rank, ranks, 9001, ncclFloat64, comm);
        check_collectives<int>(rank, ranks, 333, ncclInt32, comm);
        ncclCommDestroy(comm);
      });
    }
  }
}

TEST_F(NcclProcesses, OfNothingTheyMeetAllTheSame) {
  run_processes(2, [](int rank, ncclComm_t comm) {
    DeviceArray<float> x(values<float>(rank, 3));
    ncclAllReduce(nullptr, nullptr, 0, ncclFloat32, ncclSum, comm, nullptr);
    ncclAllReduce(x.data(), x.data(), 3, ncclFloat32, ncclSum, comm, nullptr);
    EXPECT_EQ(x.get()[2], value(0, 2) + value(1, 2));
    ncclCommDestroy(comm);
  });
}

TEST_F(NcclProcesses, BFloat16IsSummedInFloatInTheOrderOfTheRanks) {
  run_processes(3, [](int rank, ncclComm_t comm) {
    DeviceArray<__nv_bfloat16> x(std::vector<__nv_bfloat16>{rank == 0 ? 256.0f : 1.0f});
    ncclAllReduce(x.data(), x.data(), 1, ncclBfloat16, ncclSum, comm, nullptr);
    EXPECT_EQ(static_cast<float>(x.get()[0]), 258.0f);
    // Only in this order is there anything left.
    DeviceArray<float> y(std::vector<float>{rank == 0 ? 1e8f : rank == 1 ? -1e8f : 1.0f});
    ncclAllReduce(y.data(), y.data(), 1, ncclFloat32, ncclSum, comm, nullptr);
    EXPECT_EQ(y.get()[0], 1.0f);
    ncclCommDestroy(comm);
  });
}

// Several communicators at once, of which each id is good for one.
TEST_F(NcclProcesses, CommunicatorsDoNotDisturbEachOther) {
  const auto statuses = fork_ranks(2, [](int rank, const ncclUniqueId& id) {
    ncclComm_t first = nullptr, second = nullptr;
    ASSERT_EQ(ncclCommInitRank(&first, 2, id, rank), ncclSuccess);
    // The id of the second goes over the first.
    ncclUniqueId other = {};
    if (rank == 0) {
      ASSERT_EQ(ncclGetUniqueId(&other), ncclSuccess);
    }
    DeviceArray<char> sent(std::vector<char>(other.internal, other.internal + sizeof other));
    ncclBroadcast(sent.data(), sent.data(), sizeof other, ncclChar, 0, first, nullptr);
    const std::vector<char> received = sent.get();
    std::copy(received.begin(), received.end(), other.internal);
    ASSERT_EQ(ncclCommInitRank(&second, 2, other, 1 - rank), ncclSuccess);
    DeviceArray<float> x(std::vector<float>{rank + 1.0f}), y(std::vector<float>{rank + 10.0f});
    ncclBroadcast(x.data(), x.data(), 1, ncclFloat32, 0, first, nullptr);
    ncclBroadcast(y.data(), y.data(), 1, ncclFloat32, 0, second, nullptr);
    EXPECT_EQ(x.get()[0], 1.0f);
    EXPECT_EQ(y.get()[0], 11.0f);
    ncclCommDestroy(first);
    ncclCommDestroy(second);
    ncclComm_t late = nullptr;
    EXPECT_EQ(ncclCommInitRank(&late, 2, id, rank), ncclInvalidArgument);
    EXPECT_THAT(last_message(), HasSubstr("an id that was used already"));
    clear_errors();
  });
  EXPECT_EQ(statuses, (std::vector<int>{0, 0}));
}

TEST_F(NcclProcesses, TwoRanksOnOneDeviceAreRefused) {
  const auto statuses = fork_ranks(2, [](int rank, const ncclUniqueId& id) {
    cudaSetDevice(1);
    ncclComm_t comm = nullptr;
    EXPECT_EQ(ncclCommInitRank(&comm, 2, id, rank), ncclInvalidUsage);
    clear_errors();
  });
  EXPECT_EQ(statuses, (std::vector<int>{0, 0}));
}

TEST_F(NcclProcesses, MissingRankIsReported) {
  config().timeout_seconds = 0.2;
  const auto statuses = fork_ranks(2, [](int rank, const ncclUniqueId& id) {
    if (rank == 1) return;
    ncclComm_t comm = nullptr;
    EXPECT_EQ(ncclCommInitRank(&comm, 2, id, rank), ncclSystemError);
    EXPECT_THAT(last_message(), HasSubstr("only 1 of 2 ranks have come"));
    clear_errors();
  });
  EXPECT_EQ(statuses, (std::vector<int>{0, 0}));
}

TEST_F(NcclProcesses, CallThatOneRankNeverMakesIsReported) {
  config().timeout_seconds = 0.3;
  run_processes(2, [](int rank, ncclComm_t comm) {
    DeviceArray<float> x(4);
    if (rank == 0) ncclAllReduce(x.data(), x.data(), 4, ncclFloat32, ncclSum, comm, nullptr);
    ncclResult_t error = ncclSuccess;
    while (error == ncclSuccess) ncclCommGetAsyncError(comm, &error);
    EXPECT_EQ(error, ncclSystemError);
    EXPECT_THAT(ncclGetLastError(comm), HasSubstr("rank 0 waits in ncclAllReduce of 4 elements"));
    EXPECT_THAT(ncclGetLastError(comm), HasSubstr("for rank 1"));
    clear_errors();
    ncclCommAbort(comm);
  });
}

TEST_F(NcclProcesses, CallsThatDifferAreErrorsOfBoth) {
  run_processes(2, [](int rank, ncclComm_t comm) {
    DeviceArray<float> x(8);
    ncclAllReduce(x.data(), x.data(), rank == 0 ? 8 : 7, ncclFloat32, ncclSum, comm, nullptr);
    cudaDeviceSynchronize();
    ncclResult_t error = ncclSuccess;
    ncclCommGetAsyncError(comm, &error);
    EXPECT_EQ(error, ncclInvalidUsage);
    EXPECT_THAT(ncclGetLastError(comm), HasSubstr("rank 0 calls ncclAllReduce of 8 elements"));
    EXPECT_THAT(ncclGetLastError(comm), HasSubstr("rank 1 calls ncclAllReduce of 7 elements"));
    clear_errors();
    ncclCommAbort(comm);
  });
  run_processes(2, [](int rank, ncclComm_t comm) {
    DeviceArray<float> x(8);
    rank == 0 ? ncclSend(x.data(), 8, ncclFloat32, 1, comm, nullptr)
              : ncclRecv(x.data(), 7, ncclFloat32, 0, comm, nullptr);
    cudaDeviceSynchronize();
    ncclResult_t error = ncclSuccess;
    ncclCommGetAsyncError(comm, &error);
    EXPECT_EQ(error, ncclInvalidUsage);
    clear_errors();
    ncclCommAbort(comm);
  });
}

/// The last of three ranks goes in one way or another while the others wait for it, in a call of
/// many pieces.
class NcclLostProcess : public NcclProcesses {
 protected:
  void check(int how_it_ends, const std::string& text, const std::function<void(ncclComm_t)>& go) {
    const auto start = std::chrono::steady_clock::now();
    for (const bool deferred : {false, true}) {
      config().deferred = deferred;
      const auto statuses = fork_ranks(3, [&](int rank, const ncclUniqueId& id) {
        ncclComm_t comm = nullptr;
        ASSERT_EQ(ncclCommInitRank(&comm, 3, id, rank), ncclSuccess);
        DeviceArray<float> x(std::vector<float>(200000, 1));
        ncclAllReduce(x.data(), x.data(), x.size(), ncclFloat32, ncclSum, comm, nullptr);
        EXPECT_EQ(x.get()[199999], 3.0f);
        if (rank == 2) {
          usleep(50000);
          go(comm);
          _exit(0);
        }
        ncclAllReduce(x.data(), x.data(), x.size(), ncclFloat32, ncclSum, comm, nullptr);
        EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
        ncclResult_t error = ncclSuccess;
        EXPECT_EQ(ncclCommGetAsyncError(comm, &error), ncclSuccess);
        EXPECT_EQ(error, ncclRemoteError);
        EXPECT_THAT(ncclGetLastError(comm), HasSubstr(text));
        EXPECT_NE(x.get()[0], x.get()[0]);  // NaN: nobody may take it for a result
        EXPECT_EQ(ncclCommAbort(comm), ncclSuccess);
      });
      EXPECT_EQ(statuses, (std::vector<int>{0, 0, how_it_ends}));
    }
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(10));
  }
};

TEST_F(NcclLostProcess, Killed) {
  check(SIGKILL, "rank 2 is gone: its process has ended", [](ncclComm_t) { raise(SIGKILL); });
}

TEST_F(NcclLostProcess, Ended) {
  check(0, "rank 2 is gone: its process has ended", [](ncclComm_t) {});
}

TEST_F(NcclLostProcess, Aborted) {
  check(0, "rank 2 aborted its communicator", [](ncclComm_t comm) { ncclCommAbort(comm); });
}

TEST_F(NcclLostProcess, Vanished) {
  check(0, "rank 2 is gone", [](ncclComm_t comm) {
    simtNcclVanish(comm);
    usleep(100000);
  });
}

}  // namespace
}  // namespace simt
