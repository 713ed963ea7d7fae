// Mesh: how the ranks of a run are laid out over the parallel dimensions.
#pragma once

#include <memory>

#include "parallel/communicator.h"

namespace shardgrad {

/// A grid of data-parallel x tensor-parallel ranks. World rank r sits at
/// (data_parallel_rank, tensor_parallel_rank) = (r / tp, r % tp): the ranks of a tensor-parallel
/// group, which talk most, are neighbours.
class Mesh {
 public:
  /// Splits `world` into groups of `tensor_parallel_size`; every rank of the world calls it.
  /// `world` must outlive the mesh. `data_parallel_size` 0: what the world has room for.
  /// @throws Error unless tensor_parallel_size divides the world size, into data_parallel_size.
  Mesh(Communicator& world, int tensor_parallel_size, int data_parallel_size = 0);

  Communicator& world() const { return world_; }
  /// The ranks that share one copy of the model.
  Communicator& tensor_parallel() const { return *tensor_parallel_; }
  /// The ranks that hold the same shard of different copies.
  Communicator& data_parallel() const { return *data_parallel_; }

 private:
  Communicator& world_;
  std::unique_ptr<Communicator> tensor_parallel_;
  std::unique_ptr<Communicator> data_parallel_;
};

}  // namespace shardgrad
