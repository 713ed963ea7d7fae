#include "tests/support/reference.h"

#include <cstring>
#include <random>

namespace shardgrad::reference {

Matrix to_matrix(const Tensor& tensor) {
  const std::int64_t columns = tensor.rank() == 0 ? 1 : tensor.size(-1);
  const std::int64_t rows = columns == 0 ? 0 : tensor.numel() / columns;
  const std::vector<double> values = tensor.to(DType::Float64).to_vector<double>();
  return Eigen::Map<const Matrix>(values.data(), rows, columns);
}

Tensor to_tensor(const Matrix& matrix, DType dtype) {
  const std::vector<double> values(matrix.data(), matrix.data() + matrix.size());
  return Tensor::from(values, {matrix.rows(), matrix.cols()}).to(dtype);
}

Tensor random_tensor(const Shape& shape, DType dtype, std::uint64_t seed, double scale) {
  std::mt19937_64 generator(seed);
  std::normal_distribution<double> normal(0.0, scale);
  std::vector<double> values(static_cast<std::size_t>(shape.numel()));
  for (double& value : values) value = normal(generator);
  return Tensor::from(values, shape).to(dtype);
}

Tensor random_ids(const Shape& shape, std::int32_t low, std::int32_t high, std::uint64_t seed) {
  std::mt19937_64 generator(seed);
  std::uniform_int_distribution<std::int32_t> uniform(low, high - 1);
  std::vector<std::int32_t> values(static_cast<std::size_t>(shape.numel()));
  for (std::int32_t& value : values) value = uniform(generator);
  return Tensor::from(values, shape);
}

double relative_difference(const Tensor& a, const Matrix& b) {
  const Matrix matrix = to_matrix(a);
  require(matrix.rows() * matrix.cols() == b.rows() * b.cols(), "relative_difference",
          "{} elements against {}", matrix.size(), b.size());
  const Eigen::Map<const Eigen::VectorXd> x(matrix.data(), matrix.size());
  const Eigen::Map<const Eigen::VectorXd> y(b.data(), b.size());
  const double norm = y.norm();
  return norm > 0.0 ? (x - y).norm() / norm : x.norm();
}

double relative_difference(const Tensor& a, const Tensor& b) {
  require(a.shape() == b.shape(), "relative_difference", "shape {} against {}",
          a.shape().to_string(), b.shape().to_string());
  return relative_difference(a, to_matrix(b));
}

bool bitwise_equal(const Tensor& a, const Tensor& b) {
  if (a.dtype() != b.dtype() || a.shape() != b.shape()) return false;
  const Tensor x = a.contiguous();
  const Tensor y = b.contiguous();
  return std::memcmp(x.raw_data(), y.raw_data(),
                     static_cast<std::size_t>(a.numel()) * size_of(a.dtype())) == 0;
}

}  // namespace shardgrad::reference
