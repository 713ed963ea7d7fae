// NCCL between host threads: every collective, in every type.
#include <algorithm>
#include <memory>
#include <tuple>

#include "tests/simt/nccl_testing.h"

namespace simt {
namespace {

template <class T>
struct TypeOf;
template <>
struct TypeOf<float> : std::integral_constant<ncclDataType_t, ncclFloat32> {};
template <>
struct TypeOf<double> : std::integral_constant<ncclDataType_t, ncclFloat64> {};
template <>
struct TypeOf<__nv_bfloat16> : std::integral_constant<ncclDataType_t, ncclBfloat16> {};
template <>
struct TypeOf<__half> : std::integral_constant<ncclDataType_t, ncclFloat16> {};
template <>
struct TypeOf<int> : std::integral_constant<ncclDataType_t, ncclInt32> {};
template <>
struct TypeOf<long long> : std::integral_constant<ncclDataType_t, ncclInt64> {};
template <>
struct TypeOf<unsigned char> : std::integral_constant<ncclDataType_t, ncclUint8> {};
template <>
struct TypeOf<signed char> : std::integral_constant<ncclDataType_t, ncclInt8> {};

constexpr int kRanks = 3;
constexpr size_t kCount = 1500;  // more than one chunk of the reduction

/// Small whole numbers, which every type holds.
template <class T>
T value(int rank, size_t i) {
  return static_cast<T>(static_cast<float>((i * 5 + static_cast<size_t>(rank) * 3) % 7 + 1));
}
template <class T>
std::vector<T> values(int rank, size_t count, size_t from = 0) {
  std::vector<T> result;
  for (size_t i = 0; i < count; ++i) result.push_back(value<T>(rank, from + i));
  return result;
}

double combined(ncclRedOp_t op, size_t i) {
  const double a = static_cast<double>(value<float>(0, i));
  const double b = static_cast<double>(value<float>(1, i));
  const double c = static_cast<double>(value<float>(2, i));
  switch (op) {
    case ncclProd:
      return a * b * c;
    case ncclMax:
      return std::max({a, b, c});
    case ncclMin:
      return std::min({a, b, c});
    case ncclAvg:
      return (a + b + c) / 3;
    default:
      return a + b + c;
  }
}

template <class T>
T expected(ncclRedOp_t op, size_t i) {
  if constexpr (std::is_integral_v<T>) return static_cast<T>(combined(op, i));
  if constexpr (std::is_same_v<T, double>) return combined(op, i);
  // The arithmetic of the narrower types is in float.
  const float sum = static_cast<float>(combined(ncclSum, i));
  return static_cast<T>(op == ncclAvg ? sum / 3 : static_cast<float>(combined(op, i)));
}

template <class T>
class NcclTypes : public Nccl {};
using Types = ::testing::Types<float, double, __nv_bfloat16, __half, int, long long, unsigned char,
                               signed char>;
TYPED_TEST_SUITE(NcclTypes, Types);

TYPED_TEST(NcclTypes, Reductions) {
  using T = TypeParam;
  constexpr ncclDataType_t kType = TypeOf<T>::value;
  for (const bool deferred : {false, true}) {
    config().deferred = deferred;
    this->run_ranks(kRanks, [](int rank, ncclComm_t comm) {
      for (const ncclRedOp_t op : {ncclSum, ncclProd, ncclMax, ncclMin, ncclAvg}) {
        const auto mine = values<T>(rank, kCount * kRanks);
        DeviceArray<T> in(mine), all(mine), part(kCount), at_root(kCount * kRanks);
        ncclAllReduce(all.data(), all.data(), all.size(), kType, op, comm, cudaStreamPerThread);
        ncclReduceScatter(in.data(), part.data(), kCount, kType, op, comm, cudaStreamPerThread);
        ncclReduce(in.data(), at_root.data(), in.size(), kType, op, 1, comm, cudaStreamPerThread);
        cudaStreamSynchronize(cudaStreamPerThread);
        const auto all_got = all.get(), part_got = part.get(), root_got = at_root.get();
        for (size_t i = 0; i < all.size(); ++i) {
          const float want = static_cast<float>(expected<T>(op, i));
          ASSERT_EQ(static_cast<float>(all_got[i]), want) << op << ", " << i;
          if (rank == 1) {
            ASSERT_EQ(static_cast<float>(root_got[i]), want) << op << ", " << i;
          }
        }
        for (size_t i = 0; i < kCount; ++i) {
          const size_t place = static_cast<size_t>(rank) * kCount + i;
          ASSERT_EQ(static_cast<float>(part_got[i]), static_cast<float>(expected<T>(op, place)));
        }
      }
      EXPECT_EQ(ncclCommDestroy(comm), ncclSuccess);
    });
  }
}

TYPED_TEST(NcclTypes, Copies) {
  using T = TypeParam;
  constexpr ncclDataType_t kType = TypeOf<T>::value;
  this->run_ranks(kRanks, [](int rank, ncclComm_t comm) {
    DeviceArray<T> mine(values<T>(rank, kCount)), gathered(kCount * kRanks), from_root(kCount);
    ncclAllGather(mine.data(), gathered.data(), kCount, kType, comm, nullptr);
    ncclBroadcast(mine.data(), from_root.data(), kCount, kType, 2, comm, nullptr);
    const std::vector<T> all = gathered.get();
    for (int source = 0; source < kRanks; ++source) {
      for (size_t i = 0; i < kCount; ++i) {
        ASSERT_EQ(static_cast<float>(all[static_cast<size_t>(source) * kCount + i]),
                  static_cast<float>(value<T>(source, i)));
      }
    }
    const std::vector<T> root = from_root.get();
    for (size_t i = 0; i < kCount; ++i) {
      ASSERT_EQ(static_cast<float>(root[i]), static_cast<float>(value<T>(2, i)));
    }
    // In place: each rank's part lies where it will be.
    ncclReduceScatter(gathered.data(), gathered.data() + static_cast<size_t>(rank) * kCount, kCount,
                      kType, ncclMax, comm, nullptr);
    ncclAllGather(gathered.data() + static_cast<size_t>(rank) * kCount, gathered.data(), kCount,
                  kType, comm, nullptr);
    const std::vector<T> again = gathered.get();
    for (size_t i = 0; i < again.size(); ++i) {
      ASSERT_EQ(static_cast<float>(again[i]), static_cast<float>(all[i]));
    }
    EXPECT_EQ(ncclCommDestroy(comm), ncclSuccess);
  });
}

TEST_F(Nccl, BFloat16IsSummedInFloatInTheOrderOfTheRanks) {
  // 256 + 1 is 256 in bfloat16, but 256 + 1 + 1 = 258 when it is rounded only once.
  run_ranks(3, [](int rank, ncclComm_t comm) {
    DeviceArray<__nv_bfloat16> x(std::vector<__nv_bfloat16>{rank == 0 ? 256.0f : 1.0f});
    ncclAllReduce(x.data(), x.data(), 1, ncclBfloat16, ncclSum, comm, nullptr);
    EXPECT_EQ(static_cast<float>(x.get()[0]), 258.0f);
    ncclCommDestroy(comm);
  });
}

TEST_F(Nccl, SendAndReceiveInAGroupGoRound) {
  for (const bool deferred : {false, true}) {
    config().deferred = deferred;
    run_ranks(4, [](int rank, ncclComm_t comm) {
      DeviceArray<int> mine({rank, 10 * rank}), other(2);
      ncclGroupStart();
      ncclRecv(other.data(), 2, ncclInt32, (rank + 3) % 4, comm, nullptr);
      ncclSend(mine.data(), 2, ncclInt32, (rank + 1) % 4, comm, nullptr);
      EXPECT_EQ(ncclGroupEnd(), ncclSuccess);
      const int from = (rank + 3) % 4;
      EXPECT_EQ(other.get(), (std::vector<int>{from, 10 * from}));
      ncclCommDestroy(comm);
    });
  }
}

TEST_F(Nccl, OneThreadDrivesAllDevices) {
  ncclComm_t comms[3];
  ASSERT_EQ(ncclCommInitAll(comms, 3, nullptr), ncclSuccess);
  std::vector<std::unique_ptr<DeviceArray<float>>> arrays;
  for (int device = 0; device < 3; ++device) {
    int count = 0, rank = -1, owner = -1;
    ncclCommCount(comms[device], &count);
    ncclCommUserRank(comms[device], &rank);
    ncclCommCuDevice(comms[device], &owner);
    EXPECT_EQ(std::tuple(count, rank, owner), std::tuple(3, device, device));
    cudaSetDevice(device);
    arrays.push_back(std::make_unique<DeviceArray<float>>(std::vector<float>{1, 2}));
  }
  ncclGroupStart();
  for (size_t i = 0; i < 3; ++i) {
    ncclAllReduce(arrays[i]->data(), arrays[i]->data(), 2, ncclFloat32, ncclSum, comms[i], nullptr);
  }
  EXPECT_EQ(ncclGroupEnd(), ncclSuccess);
  for (const auto& array : arrays) EXPECT_EQ(array->get(), (std::vector<float>{3, 6}));
  for (ncclComm_t comm : comms) ncclCommDestroy(comm);
  cudaSetDevice(0);
}

TEST_F(Nccl, WorkRunsInStreamOrder) {
  config().deferred = true;
  run_ranks(2, [](int rank, ncclComm_t comm) {
    cudaStream_t compute = nullptr, communication = nullptr;
    cudaStreamCreateWithFlags(&compute, cudaStreamNonBlocking);
    cudaStreamCreateWithFlags(&communication, cudaStreamNonBlocking);
    cudaEvent_t computed = nullptr;
    cudaEventCreateWithFlags(&computed, cudaEventDisableTiming);
    DeviceArray<int> x(1);
    for (int i = 0; i < 20; ++i) {
      cudaMemsetAsync(x.data(), i + rank, 1, compute);
      cudaMemsetAsync(reinterpret_cast<char*>(x.data()) + 1, 0, 3, compute);
      cudaEventRecord(computed, compute);
      cudaStreamWaitEvent(communication, computed, 0);
      ncclAllReduce(x.data(), x.data(), 1, ncclInt32, ncclSum, comm, communication);
      cudaStreamSynchronize(communication);
      ASSERT_EQ(x.get()[0], 2 * i + 1);
    }
    cudaEventDestroy(computed);
    cudaStreamDestroy(compute);
    cudaStreamDestroy(communication);
    ncclCommDestroy(comm);
  });
}

TEST_F(Nccl, NonBlockingRankIsInProgressUntilTheLastHasCome) {
  ncclUniqueId id;
  ncclGetUniqueId(&id);
  ncclConfig_t settings = NCCL_CONFIG_INITIALIZER;
  settings.blocking = 0;
  ncclComm_t first = nullptr, second = nullptr;
  ncclResult_t error = ncclSuccess;
  EXPECT_EQ(ncclCommInitRankConfig(&first, 2, id, 0, &settings), ncclInProgress);
  EXPECT_EQ(ncclCommGetAsyncError(first, &error), ncclSuccess);
  EXPECT_EQ(error, ncclInProgress);
  cudaSetDevice(1);
  EXPECT_EQ(ncclCommInitRankConfig(&second, 2, id, 1, &settings), ncclSuccess);
  ncclCommGetAsyncError(first, &error);
  EXPECT_EQ(error, ncclSuccess);
  ncclCommDestroy(first);
  ncclCommDestroy(second);
  cudaSetDevice(0);
}

}  // namespace
}  // namespace simt
