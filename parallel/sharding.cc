#include "parallel/divisors.h"

#include "tensor/error.h"

namespace shardgrad {

std::string divisors_of(std::int64_t n) {
  std::string text;
  for (std::int64_t divisor = 1; divisor <= n && divisor <= 64; ++divisor) {
    if (n % divisor == 0) text += (text.empty() ? "" : ", ") + std::to_string(divisor);
  }
  return "{" + text + "}";
}

std::int64_t divided(std::int64_t extent, const Communicator& tensor_parallel, const char* where,
                     const char* what) {
  const int ranks = tensor_parallel.world_size();
  require(extent > 0, where, "{} is {}; expected at least 1", what, extent);
  require(extent % ranks == 0, where, "{} {} is not divisible by tp={}; choose tp from {}", what,
          extent, ranks, divisors_of(extent));
  return extent / ranks;
}

}  // namespace shardgrad
