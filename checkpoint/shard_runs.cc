#include "checkpoint/shard_runs.h"

#include "checkpoint/stored_dtype.h"

namespace shardgrad {

ShardSpec transposed(const ShardSpec& shard) {
  ShardSpec result = shard;
  result.global_shape = {shard.global_shape[1], shard.global_shape[0]};
  if (shard.dim >= 0) result.dim = 1 - shard.dim;
  return result;
}

void write_runs(OutputFile& file, const StoredTensor& place, const Tensor& elements,
                const ShardSpec& shard, const FlatRange& window) {
  const std::int64_t size = stored_bytes(place.dtype);
  const char* data = static_cast<const char*>(elements.raw_data());
  for_each_run_in(shard, window, [&](std::int64_t local, std::int64_t global, std::int64_t length) {
    file.write_at(place.offset + global * size, data + (local - window.begin) * size,
                  length * size);
  });
}

void read_runs(const char* data, const StoredTensor& place, Tensor& elements,
               const ShardSpec& shard, const FlatRange& window) {
  const std::int64_t size = stored_bytes(place.dtype);
  const std::string dtype = stored_name_of(elements.dtype());
  const auto element_size = static_cast<std::int64_t>(size_of(elements.dtype()));
  char* to = static_cast<char*>(elements.raw_data());
  for_each_run_in(shard, window, [&](std::int64_t local, std::int64_t global, std::int64_t length) {
    convert_elements(data + global * size, place.dtype, to + (local - window.begin) * element_size,
                     dtype, length);
  });
}

}  // namespace shardgrad
