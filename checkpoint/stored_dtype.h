// The element types of safetensors files, and their conversion to and from those of tensors.
#pragma once

#include <cstdint>
#include <string>

#include "tensor/dtype.h"

namespace shardgrad {

/// Bytes of an element of the type that safetensors calls `name`; 0 if there is none of whole
/// bytes.
std::int64_t stored_bytes(const std::string& name);

/// Whether elements of the type can be converted: "F16", "BF16", "F32", "F64".
bool is_convertible(const std::string& name);

/// "F32", "F64" or "BF16". @throws Error for int32.
std::string stored_name_of(DType dtype);

/// Converts `count` elements from one stored type into another, rounding to the nearest, ties to
/// even; both convertible. Neither side needs to be aligned. Copies where the types are the same.
void convert_elements(const void* source, const std::string& from, void* destination,
                      const std::string& to, std::int64_t count);

}  // namespace shardgrad
