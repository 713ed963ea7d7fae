// Counting in whole parts.
#pragma once

#include <type_traits>

namespace shardgrad {

/// The number of parts of at most `most` that `count` >= 0 makes.
template <class Integer>
constexpr Integer parts_of(Integer count, std::common_type_t<Integer> most) {
  return (count + most - 1) / most;
}

/// The smallest multiple of `multiple` that is not below `count` >= 0.
template <class Integer>
constexpr Integer round_up(Integer count, std::common_type_t<Integer> multiple) {
  return parts_of(count, multiple) * multiple;
}

}  // namespace shardgrad
