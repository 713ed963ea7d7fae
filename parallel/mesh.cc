#include "parallel/mesh.h"

#include "parallel/divisors.h"

namespace shardgrad {

Mesh::Mesh(Communicator& world, int tensor_parallel_size, int data_parallel_size) : world_(world) {
  require(tensor_parallel_size >= 1 && world.world_size() % tensor_parallel_size == 0, "Mesh",
          "tensor_parallel_size {} does not divide the world size {}; choose from {}",
          tensor_parallel_size, world.world_size(), divisors_of(world.world_size()));
  const int copies = world.world_size() / tensor_parallel_size;
  require(data_parallel_size == 0 || data_parallel_size == copies, "Mesh",
          "tp {} x dp {} are {} ranks, but the world has {}; choose dp {}, or start {} ranks",
          tensor_parallel_size, data_parallel_size, tensor_parallel_size * data_parallel_size,
          world.world_size(), copies, tensor_parallel_size * data_parallel_size);
  const int rank = world.rank();
  tensor_parallel_ = world.split(rank / tensor_parallel_size, rank);
  data_parallel_ = world.split(rank % tensor_parallel_size, rank);
}

}  // namespace shardgrad
