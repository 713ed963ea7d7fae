#include "parallel/sharding.h"

#include "parallel/divisors.h"

namespace shardgrad {
namespace {

constexpr std::int64_t kVocabularyMultiple = 64;

}  // namespace

std::int64_t divided(std::int64_t extent, int tensor_parallel_size, const char* where,
                     const char* what) {
  require(extent > 0, where, "{} is {}; expected at least 1", what, extent);
  require(extent % tensor_parallel_size == 0, where,
          "{} {} is not divisible by tp={}; choose tp from {}", what, extent, tensor_parallel_size,
          divisors_of(extent));
  return extent / tensor_parallel_size;
}

ShardSpec sharded_over(const Communicator& group, const Shape& shape, int dim,
                       std::int64_t segments) {
  return {shape, dim, group.rank(), group.world_size(), segments};
}

ShardSpec vocabulary_sharded_over(const Communicator& group, const Shape& shape) {
  ShardSpec shard = sharded_over(group, shape, 0);
  shard.multiple = kVocabularyMultiple;
  return shard;
}

std::int64_t vocabulary_rows(std::int64_t vocab_size, int tensor_parallel_size) {
  ShardSpec shard{{vocab_size}, 0, 0, tensor_parallel_size};
  shard.multiple = kVocabularyMultiple;
  return shard.local_shape()[0];
}

}  // namespace shardgrad
