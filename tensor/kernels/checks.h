// What every kernel checks of its tensors before it touches them.
#pragma once

#include <cstdint>

#include "tensor/tensor.h"

namespace shardgrad {

/// Checks that `tensor`, the argument `name` of the kernel `where`, is defined, has this shape and
/// dtype, and is contiguous.
inline void require_operand(const char* where, const char* name, const Tensor& tensor,
                            const Shape& shape, DType dtype) {
  require(tensor.defined(), where, "{} is undefined; expected shape {} of {}", name,
          shape.to_string(), name_of(dtype));
  require(tensor.shape() == shape, where, "{} has shape {}; expected {}", name,
          tensor.shape().to_string(), shape.to_string());
  require(tensor.dtype() == dtype, where, "{} holds {}; expected {}", name, name_of(tensor.dtype()),
          name_of(dtype));
  require(tensor.is_contiguous(), where,
          "{} of shape {} with strides {} is not contiguous; call contiguous() first", name,
          tensor.shape().to_string(), tensor.strides().to_string());
}

/// Checks the operand from which a kernel takes the shape and the dtype of the others: it is
/// defined and contiguous.
inline void require_leading_operand(const char* where, const char* name, const Tensor& tensor) {
  require_operand(where, name, tensor, tensor.shape(), tensor.dtype());
}

/// The same, for a matrix [rows, columns].
inline void require_leading_matrix(const char* where, const char* name, const Tensor& tensor) {
  require_leading_operand(where, name, tensor);
  require(tensor.rank() == 2, where, "{} has shape {}; expected a matrix of rank 2", name,
          tensor.shape().to_string());
}

/// Checks that kernels compute with elements of this type.
inline void require_floating(const char* where, DType dtype) {
  require(is_floating(dtype), where,
          "dtype {} is not a floating type; expected float32, float64 or bfloat16", name_of(dtype));
}

/// Checks that sums are kept in this type.
inline void require_accumulating(const char* where, DType dtype) {
  require(is_floating(dtype) && accumulation_dtype(dtype) == dtype, where,
          "sums in {}; expected float32 or float64", name_of(dtype));
}

/// What `out` may hold where a sum of `operands` is either rounded or kept as it was formed: the
/// accumulation dtype when it holds that, else the dtype of the operands.
inline DType sum_dtype(const Tensor& out, DType operands) {
  const DType sums = accumulation_dtype(operands);
  return out.dtype() == sums ? sums : operands;
}

/// Checks a tensor of one float64 element, whatever its rank.
inline void require_number(const char* where, const char* name, const Tensor& tensor) {
  require(tensor.defined() && tensor.numel() == 1 && tensor.dtype() == DType::Float64, where,
          "{} has shape {} of {}; expected one float64 element", name, tensor.shape().to_string(),
          name_of(tensor.dtype()));
}

}  // namespace shardgrad
