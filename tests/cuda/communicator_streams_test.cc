// The order that the thread communicator keeps between the streams of its ranks.
#include <cuda_runtime.h>

#include <chrono>
#include <thread>

#include "tests/cuda/communicator_testing.h"

namespace shardgrad {
namespace {

using namespace cuda_testing;

/// Streams that run as late as CUDA allows, for ranks that begin to wait at different times: what
/// no event keeps in order is out of order. Memory is cached, since cudaFree() would wait.
class DeferredStreams : public ::testing::TestWithParam<Placement> {
 protected:
  DeferredStreams() {
    for (int device : {0, 1}) allocator_for({DeviceType::Cuda, device}).set_pass_through(false);
    simt::config().deferred = true;
  }
  ~DeferredStreams() override { simt::config().deferred = false; }
};

TEST_P(DeferredStreams, WaitForEachOther) {
  const Placement placement = GetParam();
  const int ranks = static_cast<int>(placement.size());
  const Shape shape{200000};  // while one rank reads them, another could overwrite them
  std::vector<std::vector<Tensor>> expected;
  for (const NamedProgram& program : kPrograms) {
    expected.push_back(results_on_cpu(ranks, shape, DType::Float32, program.program));
  }
  for (int late_rank = 0; late_rank < ranks; ++late_rank) {
    run_ranks(thread_options(placement), [&](Communicator& group) {
      const int rank = group.rank();
      const Tensor input = rank_input(rank, shape, DType::Float32).to(placement[rank]);
      std::vector<Tensor> results;
      for (const NamedProgram& program : kPrograms) {
        results.push_back(program.program(group, input.clone()));
      }
      group.barrier();  // everything is queued, and nothing has run
      if (rank == late_rank) std::this_thread::sleep_for(std::chrono::milliseconds(10));
      for (std::size_t i = 0; i < results.size(); ++i) {
        EXPECT_TRUE(same_bits(results[i], expected[i][rank]))
            << kPrograms[i].name << " on rank " << rank << " when rank " << late_rank << " is late";
      }
    });
  }
}

INSTANTIATE_TEST_SUITE_P(Placements, DeferredStreams,
                         ::testing::Values(on_devices(2, 1), on_devices(3, 1), on_devices(2, 2)),
                         [](const auto& info) { return "devices_" + to_string(info.param); });

}  // namespace
}  // namespace shardgrad
