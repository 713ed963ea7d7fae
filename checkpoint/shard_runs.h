// Parts of shards: where they are in the whole tensor, and how they get there and back.
#pragma once

#include "checkpoint/file.h"
#include "checkpoint/safetensors.h"
#include "nn/optim/flat_range.h"
#include "nn/shard_spec.h"
#include "tensor/tensor.h"

namespace shardgrad {

/// As ShardSpec::for_each_run, of the elements `window` of the local tensor only.
template <class Body>
void for_each_run_in(const ShardSpec& shard, const FlatRange& window, const Body& body) {
  shard.for_each_run([&](std::int64_t local, std::int64_t global, std::int64_t length) {
    const FlatRange common = window.intersection({local, local + length});
    if (common.length() > 0) {
      body(common.begin, global + common.begin - local, common.length());
    }
  });
}

/// The same part of the transposed matrix.
ShardSpec transposed(const ShardSpec& shard);

/// Writes elements into the stored tensor `place`. `elements` [n], on the host and of the stored
/// dtype, are those that `window` names of a local tensor that `shard` describes.
void write_runs(OutputFile& file, const StoredTensor& place, const Tensor& elements,
                const ShardSpec& shard, const FlatRange& window);

/// The way back: fills `elements`, of any floating dtype, from the bytes of the stored tensor.
/// Those that belong to padding are left as they are.
void read_runs(const char* data, const StoredTensor& place, Tensor& elements,
               const ShardSpec& shard, const FlatRange& window);

}  // namespace shardgrad
