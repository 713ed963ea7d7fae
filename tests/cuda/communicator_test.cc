// The thread communicator over CUDA tensors: every collective against the CPU's, bit for bit.
#include <cmath>
#include <limits>

#include "tensor/cuda/runtime.h"
#include "tests/cuda/communicator_testing.h"
#include "tests/support/error_of.h"

namespace shardgrad {
namespace {

using namespace cuda_testing;
using reference::bitwise_equal;
using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr DType kDtypes[] = {DType::Float32, DType::Float64, DType::BFloat16, DType::Int32};

/// Runs on several placements: all ranks on one device, and spread over two.
class CudaCommunicator : public ::testing::TestWithParam<Placement> {
 protected:
  CudaCommunicator() {
    for (const Device& device : GetParam()) allocator_for(device).set_pass_through(true);
  }
  static RunOptions options() { return thread_options(GetParam()); }
  static int ranks() { return static_cast<int>(GetParam().size()); }
};

TEST_P(CudaCommunicator, EveryCollectiveHasTheBitsOfTheCpu) {
  for (DType dtype : kDtypes) {
    for (const Shape& shape : {Shape{0}, Shape{1}, Shape{7}, Shape{1000, 3}}) {
      for (const NamedProgram& program : kPrograms) {
        const auto expected = results_on_cpu(ranks(), shape, dtype, program.program);
        const auto results = results_on_devices(options(), shape, dtype, program.program);
        for (int rank = 0; rank < ranks(); ++rank) {
          EXPECT_TRUE(bitwise_equal(results[rank], expected[rank]))
              << program.name << ", " << name_of(dtype) << " " << shape.to_string() << ", rank "
              << rank;
        }
      }
    }
  }
}

TEST_P(CudaCommunicator, LargeTensors) {
  for (const NamedProgram& program : kPrograms) {
    const auto expected = results_on_cpu(ranks(), {300007}, DType::Float32, program.program);
    const auto results = results_on_devices(options(), {300007}, DType::Float32, program.program);
    for (int rank = 0; rank < ranks(); ++rank) {
      EXPECT_TRUE(bitwise_equal(results[rank], expected[rank])) << program.name;
    }
  }
}

// Two ranks or three on one device, and on two where there are two: simt has them always.
std::vector<Placement> placements() {
  std::vector<Placement> all = {on_devices(2, 1), on_devices(3, 1)};
  if (cuda::device_count() >= 2) {
    all.push_back(on_devices(2, 2));
    all.push_back(on_devices(3, 2));
  }
  return all;
}

INSTANTIATE_TEST_SUITE_P(Placements, CudaCommunicator, ::testing::ValuesIn(placements()),
                         [](const auto& info) { return "devices_" + to_string(info.param); });

TEST(CudaCommunicatorTest, ViewOfOddOffsetIsReducedAlone) {
  run_ranks(thread_options(on_devices(3, 1)), [](Communicator& group) {
    Tensor whole = Tensor::full({1003}, 1.0, DType::Float32, kGpu);
    Tensor view = whole.slice(0, 1, 1001);
    group.all_reduce(view);
    const std::vector<float> values = whole.to_vector<float>();
    EXPECT_EQ(values.front(), 1.0f);
    EXPECT_EQ(values[1], 3.0f);
    EXPECT_EQ(values[1001], 3.0f);
    EXPECT_EQ(values.back(), 1.0f);
  });
}

TEST(CudaCommunicatorTest, MaximumWithNanIsNan) {
  for (int nan_rank = 0; nan_rank < 3; ++nan_rank) {
    run_ranks(thread_options(on_devices(3, 1)), [&](Communicator& group) {
      const float third = group.rank() == nan_rank ? std::numeric_limits<float>::quiet_NaN() : 5.0f;
      Tensor x = Tensor::from<float>({1.0f, -2.0f, third}, {3}).to(kGpu);
      group.all_reduce(x, ReduceOp::Max);
      const std::vector<float> values = x.to_vector<float>();
      EXPECT_EQ(values[1], -2.0f);
      EXPECT_TRUE(std::isnan(values[2])) << "NaN on rank " << nan_rank;
    });
  }
}

TEST(CudaCommunicatorTest, CpuTensorsAreTakenInBetween) {
  run_ranks(thread_options(on_devices(2, 1)), [](Communicator& group) {
    Tensor on_gpu = Tensor::full({100}, group.rank() + 1.0, DType::Float32, kGpu);
    Tensor on_cpu = Tensor::full({100}, group.rank() + 1.0);
    group.all_reduce(on_gpu);
    group.all_reduce(on_cpu);
    EXPECT_TRUE(same_bits(on_gpu, on_cpu));
    EXPECT_EQ(on_cpu.to_vector<float>()[99], 3.0f);
  });
}

TEST(CudaCommunicatorTest, RanksOnDifferentKindsOfDevicesGetAnError) {
  run_ranks(thread_options(on_devices(2, 1)), [](Communicator& group) {
    Tensor x = Tensor::zeros({4}, DType::Float32, group.rank() == 1 ? kGpu : Device{});
    const auto is_mismatch =
        AllOf(HasSubstr("rank 0"), HasSubstr("float32 [4]"), HasSubstr("float32 [4] on cuda:0"));
    EXPECT_THAT(error_of([&] { group.all_reduce(x); }), is_mismatch);
    EXPECT_THAT(error_of([&] { group.rank() == 0 ? group.send(x, 1) : group.receive(x, 0); }),
                is_mismatch);
    group.barrier();
  });
}

TEST(CudaCommunicatorTest, FailingRankEndsTheOthers) {
  for (int failing_round = 0; failing_round < 10; ++failing_round) {
    std::string message;
    const std::string thrown = error_of([&] {
      run_ranks(thread_options(on_devices(2, 1)), [&](Communicator& group) {
        Tensor x = Tensor::full({100}, 1.0, DType::Float32, kGpu);
        for (int round = 0; round < 12; ++round) {
          if (group.rank() == 1) require(round != failing_round, "test", "boom");
          try {
            group.all_reduce(x);
          } catch (const Error& error) {
            message = error.what();
            throw;
          }
        }
      });
    });
    EXPECT_EQ(thrown, "[test] boom");
    EXPECT_EQ(message, "[all_reduce] rank 1 failed: [test] boom");
  }
}

}  // namespace
}  // namespace shardgrad
