// The layout of ranks over data and tensor parallelism.
#include "parallel/mesh.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "parallel/launch.h"

namespace shardgrad {
namespace {

std::vector<float> world_ranks(Communicator& world, Communicator& group) {
  Tensor own = Tensor::full({1}, world.rank());
  Tensor all = Tensor::empty({group.world_size()});
  group.all_gather(own, all);
  return all.to_vector<float>();
}

TEST(MeshTest, TensorParallelRanksAreNeighbours) {
  run_ranks(6, 1, [](Communicator& world) {
    const Mesh mesh(world, 2);
    EXPECT_EQ(&mesh.world(), &world);
    EXPECT_EQ(mesh.tensor_parallel().world_size(), 2);
    EXPECT_EQ(mesh.data_parallel().world_size(), 3);
    EXPECT_EQ(mesh.tensor_parallel().rank(), world.rank() % 2);
    EXPECT_EQ(mesh.data_parallel().rank(), world.rank() / 2);
    const float even = static_cast<float>(world.rank() / 2 * 2);
    EXPECT_EQ(world_ranks(world, mesh.tensor_parallel()), (std::vector<float>{even, even + 1}));
    const float column = static_cast<float>(world.rank() % 2);
    EXPECT_EQ(world_ranks(world, mesh.data_parallel()),
              (std::vector<float>{column, column + 2, column + 4}));
  });
}

TEST(MeshTest, EverySizeThatDividesTheWorld) {
  for (int world_size : {1, 2, 4}) {
    for (int tensor_parallel_size = 1; tensor_parallel_size <= world_size;
         tensor_parallel_size *= 2) {
      run_ranks(world_size, 1, [&](Communicator& world) {
        const Mesh mesh(world, tensor_parallel_size);
        EXPECT_EQ(mesh.tensor_parallel().world_size(), tensor_parallel_size);
        EXPECT_EQ(mesh.data_parallel().world_size(), world_size / tensor_parallel_size);
      });
    }
  }
}

TEST(MeshTest, OtherSizesAreAnErrorThatNamesTheValidOnes) {
  for (int tensor_parallel_size : {-1, 0, 3, 8}) {
    std::string message;
    try {
      run_ranks(4, 1, [&](Communicator& world) { const Mesh mesh(world, tensor_parallel_size); });
    } catch (const Error& error) {
      message = error.what();
    }
    EXPECT_EQ(message, fmt::format("[Mesh] tensor_parallel_size {} does not divide the world size "
                                   "4; choose from {{1, 2, 4}}",
                                   tensor_parallel_size));
  }
}

}  // namespace
}  // namespace shardgrad
