// What the tests compare with: Eigen matrices in float64, random inputs, and relative differences.
#pragma once

#include <Eigen/Dense>
#include <cstdint>

#include "tensor/tensor.h"

namespace shardgrad::reference {

/// Row-major, so that it maps a contiguous tensor as it lies.
using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// The elements of a tensor of any floating or int32 dtype as a float64 matrix; a tensor of another
/// rank than 2 is flattened to [everything but the last dim, last dim].
Matrix to_matrix(const Tensor& tensor);

/// A tensor with the matrix's shape and values.
Tensor to_tensor(const Matrix& matrix, DType dtype);

/// Normal(0, scale^2) elements from a std::mt19937_64, so independent of the project's own
/// generator.
Tensor random_tensor(const Shape& shape, DType dtype, std::uint64_t seed, double scale = 1.0);

/// Int32 elements, uniform in [low, high).
Tensor random_ids(const Shape& shape, std::int32_t low, std::int32_t high, std::uint64_t seed);

/// ||a - b|| / ||b|| in float64 (||a|| when b is zero); NaN when anything is NaN.
double relative_difference(const Tensor& a, const Tensor& b);
double relative_difference(const Tensor& a, const Matrix& b);

/// True when the two tensors have the same dtype, shape and bits.
bool bitwise_equal(const Tensor& a, const Tensor& b);

}  // namespace shardgrad::reference
