// What tests of whole runs compare: tensors by name, and single numbers.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <string>

#include "tests/support/reference.h"

namespace shardgrad::reference {

/// Whole tensors by the names of parameters, on the host.
using Tensors = std::map<std::string, Tensor>;

/// Tensor by tensor, in the norm; a NaN anywhere fails.
inline void expect_close(const Tensors& found, const Tensors& expected, double tolerance) {
  ASSERT_EQ(found.size(), expected.size());
  for (const auto& [name, tensor] : expected) {
    EXPECT_LT(relative_difference(found.at(name), tensor), tolerance) << name;
  }
}

/// |a - b| / |b|.
inline double relative(double a, double b) { return std::abs(a - b) / std::abs(b); }

}  // namespace shardgrad::reference
