// A communicator between the hosts of a group, on which one between their GPUs stands.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "parallel/communicator.h"

namespace shardgrad {

/// What a backend for GPUs needs of the one that connects their hosts, beside its collectives.
class HostCommunicator : public Communicator {
 public:
  /// Returns when every rank is about to make the call `name` with such a tensor, which another
  /// backend carries out. `op` and `root` are those of the call, where it has them.
  /// @throws Error on every rank when the ranks do not make the same call, and on the waiting ranks
  /// when one of them fails or finishes.
  virtual void meet(const char* name, const Tensor& tensor, std::optional<ReduceOp> op,
                    int root) = 0;

  /// "rank 1 failed: ...", or "" while no rank of the world has. Any thread may ask.
  virtual std::string failure() const = 0;

  /// As split(), for the new group's own backend.
  virtual std::unique_ptr<HostCommunicator> split_hosts(int color, int key) = 0;
};

}  // namespace shardgrad
