// Sums and scaled values.
#pragma once

#include "autograd/variable.h"

namespace shardgrad {

/// a + b, equal shapes.
Variable add(const Variable& a, const Variable& b);

/// factor * x.
Variable scale(const Variable& x, double factor);

/// The sum of all elements of x, one float64 element of shape [1].
Variable sum(const Variable& x);

/// x [M, N] + bias [N] on every row. When nobody else holds x (it was moved in), in place.
Variable add_bias(Variable x, const Variable& bias);

/// The first `count` columns of x [M, N]: [M, count]. x itself when those are all.
Variable first_columns(const Variable& x, std::int64_t count);

/// The same elements under another shape; one extent may be -1.
Variable reshape(const Variable& x, const Shape& shape);

}  // namespace shardgrad
