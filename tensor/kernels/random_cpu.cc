#include <cmath>

#include "tensor/kernels/random.h"
#include "tensor/kernels/random_words.h"
#include "tensor/kernels/vector_math.h"

namespace shardgrad::cpu {
namespace {

constexpr double kTwoPi = 6.28318530717958647693;
constexpr double kTwoToMinus32 = 1.0 / 4294967296.0;

// One normal deviate of two random words. Kept out of line so that every element goes through the
// same instructions.
[[gnu::noinline]] double box_muller(std::uint32_t radius_word, std::uint32_t angle_word) {
  const double radius = std::sqrt(-2.0 * std::log((radius_word + 0.5) * kTwoToMinus32));
  return radius * std::cos(kTwoPi * (angle_word * kTwoToMinus32));
}

// The number before `limit` in the direction of `low`, which is not above it.
template <class T>
T number_below(T limit, T low) {
  return std::nextafter(limit, low);
}
BFloat16 number_below(BFloat16 limit, BFloat16 low) {
  if (widen(limit) <= widen(low)) return limit;
  BFloat16 below = limit;
  if (widen(limit) == 0.0f) {
    below.bits = 0x8001;  // the negative number next to zero
  } else {
    below.bits = static_cast<std::uint16_t>(limit.bits + (widen(limit) > 0.0f ? -1 : 1));
  }
  return below;
}

}  // namespace

void fill_normal(Tensor& x, const RandomStream& random, std::int64_t first_element, double mean,
                 double standard_deviation) {
  dispatch_floating(x.dtype(), "fill_normal", [&](auto type) {
    using T = decltype(type);
    T* const data = x.data<T>();
    constexpr std::int64_t kGrain = 1024;  // a deviate costs as much as many plain elements
    parallel_for(x.numel(), kGrain, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        const std::uint64_t element = static_cast<std::uint64_t>(first_element + i);
        const PhiloxWords drawn = philox4x32(random, element / 2);
        const std::uint64_t first_word = 2 * (element % 2);
        const double deviate = box_muller(drawn.word[first_word], drawn.word[first_word + 1]);
        data[i] = static_cast<T>(multiply_add(standard_deviation, deviate, mean));
      }
    });
  });
}

void fill_uniform(Tensor& x, const RandomStream& random, std::int64_t first_element, double low,
                  double high) {
  dispatch_floating(x.dtype(), "fill_uniform", [&](auto type) {
    using T = decltype(type);
    T* const data = x.data<T>();
    using A = Accumulator<T>;
    const A limit = widen(static_cast<T>(high));
    const A just_below = widen(number_below(static_cast<T>(high), static_cast<T>(low)));
    const double width = (high - low) * kTwoToMinus32;
    parallel_words(random, first_element, x.numel(), [=](std::int64_t i, std::uint32_t word) {
      const A value = widen(static_cast<T>(multiply_add(width, static_cast<double>(word), low)));
      store(data[i], value < limit ? value : just_below);
    });
  });
}

}  // namespace shardgrad::cpu
