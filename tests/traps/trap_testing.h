// What the tests of the traps share.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "nn/module.h"
#include "parallel/communicator.h"
#include "tensor/philox.h"
#include "tests/support/reference.h"

namespace shardgrad::trap_testing {

using reference::Matrix;
using reference::relative_difference;
using reference::to_matrix;

inline Tensor random64(const Shape& shape, std::uint64_t seed) {
  return reference::random_tensor(shape, DType::Float64, seed);
}

/// Of `whole`, cut equally along `dim`, what the rank holds: cut here, not as the product cuts.
inline Tensor own_part(const Tensor& whole, int dim, const Communicator& group) {
  const std::int64_t part = whole.size(dim) / group.world_size();
  return whole.slice(dim, group.rank() * part, part).contiguous();
}

/// @throws Error when there is none of this name.
inline Parameter& parameter_of(const Module& module, const std::string& wanted) {
  for (const auto& [name, parameter] : module.named_parameters()) {
    if (name == wanted) return *parameter;
  }
  fail("parameter_of", "there is no parameter {}", wanted);
}

/// Overwrites a parameter's values, of which this rank holds `value`.
inline void set(const Module& module, const std::string& name, const Tensor& value) {
  parameter_of(module, name).variable.mutable_value().copy_from(value);
}

/// Overwrites all parameters of a module on one rank by whole tensors of their names.
inline void set_all(const Module& module, const std::map<std::string, Tensor>& values) {
  for (const auto& [name, parameter] : module.named_parameters()) {
    const Tensor& value = values.at(name);  // without what pads the vocabulary
    parameter->variable.mutable_value().slice(0, 0, value.size(0)).copy_from(value);
  }
}

inline Tensor gradient_of(const Module& module, const std::string& name) {
  return parameter_of(module, name).variable.gradient();
}

/// A number that tells the bits of tensors apart.
inline std::uint64_t checksum(const Tensor& tensor) {
  const Tensor bytes = tensor.to(Device{}).contiguous();
  return hash_name({static_cast<const char*>(bytes.raw_data()),
                    static_cast<std::size_t>(bytes.numel()) * size_of(bytes.dtype())});
}

}  // namespace shardgrad::trap_testing
