#include "parallel/divisors.h"

namespace shardgrad {

std::string divisors_of(std::int64_t n) {
  std::string text;
  for (std::int64_t divisor = 1; divisor <= n && divisor <= 64; ++divisor) {
    if (n % divisor == 0) text += (text.empty() ? "" : ", ") + std::to_string(divisor);
  }
  return "{" + text + "}";
}

}  // namespace shardgrad
