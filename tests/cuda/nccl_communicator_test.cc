// The communicator over NCCL against the CPU's, and what becomes of it when a rank is lost.
#include "parallel/cuda/nccl_communicator.h"

#include <cuda_runtime.h>
#include <nccl.h>

#include <chrono>
#include <thread>

#include "parallel/mesh.h"
#include "tensor/cuda/runtime.h"
#include "tests/cuda/communicator_testing.h"
#include "tests/support/error_of.h"

namespace shardgrad {
namespace {

using namespace cuda_testing;
using reference::bitwise_equal;
using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr int kDevices = 4;

RunOptions nccl_options(int ranks) {
  RunOptions options;
  options.devices = on_devices(ranks, ranks);
  options.intra_op_threads = 1;
  options.backend = CommunicatorBackend::Nccl;
  return options;
}

/// In both modes of the streams: work that is done at once, and as late as CUDA allows.
class NcclCommunicator : public ::testing::TestWithParam<bool> {
 protected:
  NcclCommunicator() {
    simt::config().devices = kDevices;
    simt::config().deferred = GetParam();
  }
  ~NcclCommunicator() override { simt::config().deferred = false; }
};

TEST_P(NcclCommunicator, EveryCollectiveAgreesWithTheCpu) {
  for (DType dtype : {DType::Float32, DType::Float64, DType::BFloat16, DType::Int32}) {
    const double tolerance = dtype == DType::Float64   ? 1e-15
                             : dtype == DType::Float32 ? 1e-6
                             : dtype == DType::Int32   ? 0.0
                                                       : 4e-3;
    for (const Shape& shape : {Shape{0}, Shape{1}, Shape{7}, Shape{1000, 3}}) {
      for (const NamedProgram& program : kPrograms) {
        for (int ranks : {2, 3}) {
          const auto expected = results_on_cpu(ranks, shape, dtype, program.program);
          const auto results =
              results_on_devices(nccl_options(ranks), shape, dtype, program.program);
          for (int rank = 0; rank < ranks; ++rank) {
            ASSERT_EQ(results[rank].shape(), expected[rank].shape());
            if (expected[rank].numel() == 0) continue;
            EXPECT_LE(reference::relative_difference(results[rank], expected[rank]), tolerance)
                << program.name << ", " << name_of(dtype) << " " << shape.to_string() << ", rank "
                << rank << " of " << ranks;
          }
        }
      }
    }
  }
}

TEST_P(NcclCommunicator, SubgroupsOfAMesh) {
  run_ranks(nccl_options(4), [](Communicator& world) {
    const Device device{DeviceType::Cuda, world.rank()};
    const Mesh mesh(world, 2);
    Tensor sum = Tensor::full({5}, world.rank(), DType::Float32, device);
    mesh.tensor_parallel().all_reduce(sum);
    EXPECT_EQ(sum.to_vector<float>()[4], world.rank() < 2 ? 1.0f : 5.0f);
    mesh.data_parallel().all_reduce(sum);
    EXPECT_EQ(sum.to_vector<float>()[4], 6.0f);
    world.barrier();
  });
}

TEST_P(NcclCommunicator, CpuTensorsAreTakenInBetween) {
  run_ranks(nccl_options(2), [](Communicator& group) {
    const Device device{DeviceType::Cuda, group.rank()};
    for (const auto& [name, program] : kPrograms) {
      const Tensor input = rank_input(group.rank(), {100}, DType::Float32);
      const Tensor on_gpu = program(group, input.to(device));
      EXPECT_TRUE(same_bits(on_gpu, program(group, input.clone()))) << name;
    }
  });
}

TEST_P(NcclCommunicator, DifferentCallsGetAnError) {
  run_ranks(nccl_options(2), [](Communicator& group) {
    const Device device{DeviceType::Cuda, group.rank()};
    Tensor x = Tensor::zeros({4 + group.rank()}, DType::Float32, device);
    EXPECT_THAT(error_of([&] { group.all_reduce(x); }),
                AllOf(HasSubstr("rank 0 called all_reduce(float32 [4] on cuda:0, sum)"),
                      HasSubstr("rank 1 called all_reduce(float32 [5] on cuda:1, sum)")));
    EXPECT_THAT(error_of([&] { group.rank() == 0 ? group.send(x, 1) : group.receive(x, 0); }),
                AllOf(HasSubstr("4 float32"), HasSubstr("5 float32")));
    Tensor same = Tensor::full({3}, 1.0, DType::Float32, device);
    group.all_reduce(same);  // nothing was disturbed
    EXPECT_EQ(same.to_vector<float>()[2], 2.0f);
  });
}

// --- Ranks that are lost -----------------------------------------------------------------------

/// Runs `body` on two ranks, which must end soon, with an Error that is returned; `seen` is what
/// rank 0 caught.
template <class Body>
std::string error_of_run(std::string& seen, const Body& body) {
  const auto start = std::chrono::steady_clock::now();
  const std::string thrown = error_of([&] {
    run_ranks(nccl_options(2), [&](Communicator& group) {
      Tensor x = Tensor::full({100}, 1.0, DType::Float32, {DeviceType::Cuda, group.rank()});
      group.all_reduce(x);
      cuda::synchronize();
      group.barrier();  // what happens from now on, happens in the body
      try {
        body(group, x);
      } catch (const Error& error) {
        if (group.rank() == 0) seen = error.what();
        throw;
      }
    });
  });
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
  simt::clear_errors();
  return thrown;
}

TEST_P(NcclCommunicator, FailingRankEndsTheOthers) {
  std::string seen;
  const std::string thrown = error_of_run(seen, [](Communicator& group, Tensor& x) {
    if (group.rank() == 1) fail("test", "boom");
    group.all_reduce(x);
  });
  EXPECT_EQ(thrown, "[test] boom");
  EXPECT_EQ(seen, "[all_reduce] rank 1 failed: [test] boom");
}

TEST_P(NcclCommunicator, RankThatFailsInsideACallEndsTheOthers) {
  std::string seen;
  const std::string thrown = error_of_run(seen, [](Communicator& group, Tensor& x) {
    // Rank 1 meets rank 0, and then cannot take part. Rank 0's kernel waits for it.
    Tensor wrong = group.rank() == 1 ? Tensor::zeros({100}, DType::Float32, kGpu) : x;
    group.all_reduce(wrong);
    cuda::synchronize();
    group.all_reduce(x);
  });
  EXPECT_THAT(thrown, AllOf(HasSubstr("[all_reduce]"), HasSubstr("cuda:0"), HasSubstr("cuda:1")));
  EXPECT_THAT(seen, AllOf(HasSubstr("[all_reduce] rank 1 failed: "), HasSubstr("cuda:1")));
}

TEST_P(NcclCommunicator, RankWhoseDeviceFailsEndsTheOthers) {
  std::string seen;
  const std::string thrown = error_of_run(seen, [](Communicator& group, Tensor& x) {
    if (group.rank() == 1) simt::fail("the device of rank 1 fails, as this test wants");
    group.all_reduce(x);
    cuda::synchronize();
    group.all_reduce(x);
  });
  EXPECT_NE(thrown, "");
  EXPECT_THAT(seen, AllOf(HasSubstr("[all_reduce]"), HasSubstr("rank 1 failed: ")));
}

TEST_P(NcclCommunicator, RankThatIsGoneEndsTheOthers) {
  std::string seen;
  const std::string thrown = error_of_run(seen, [](Communicator& group, Tensor& x) {
    if (group.rank() == 1) simtNcclVanishFrom(1);
    group.all_reduce(x);
    cuda::synchronize();
    group.all_reduce(x);
  });
  EXPECT_THAT(thrown, HasSubstr("NCCL: remote process exited"));
  EXPECT_THAT(seen, AllOf(HasSubstr("[all_reduce]"), HasSubstr("NCCL: remote process exited")));
}

TEST_P(NcclCommunicator, LossAfterTheLastCallIsThrown) {
  std::string seen;
  const std::string thrown = error_of_run(seen, [](Communicator& group, Tensor& x) {
    group.all_reduce(x);
    group.barrier();
    if (group.rank() == 1) simtNcclVanishFrom(1);
    group.barrier();
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  });
  EXPECT_THAT(thrown, HasSubstr("NCCL: remote process exited"));
}

TEST_P(NcclCommunicator, EarlyReturnIsAnErrorForThoseWhoWait) {
  std::string seen;
  const std::string thrown = error_of_run(seen, [](Communicator& group, Tensor& x) {
    if (group.rank() == 0) group.all_reduce(x);
  });
  EXPECT_EQ(thrown, "[all_reduce] rank 1 has finished while rank 0 waits in all_reduce");
}

INSTANTIATE_TEST_SUITE_P(Streams, NcclCommunicator, ::testing::Bool(),
                         [](const auto& info) { return info.param ? "deferred" : "at_once"; });

}  // namespace
}  // namespace shardgrad
