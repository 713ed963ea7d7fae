// What an error offers in place of a size that does not divide another.
#pragma once

#include <cstdint>
#include <string>

namespace shardgrad {

/// The divisors of n up to 64, as "{1, 2, 5, 10}".
std::string divisors_of(std::int64_t n);

}  // namespace shardgrad
