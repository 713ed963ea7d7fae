#include "tensor/kernels/vector_math.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

namespace shardgrad::cpu {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// The largest |function(x) - reference(x)| in units in the last place of the rounded reference,
// over every 1009th float of [low, high].
template <class Function, class Reference>
double worst_ulps(float low, float high, const Function& function, const Reference& reference) {
  double worst = 0.0;
  for (std::uint64_t bits = 0; bits < (std::uint64_t{1} << 32); bits += 1009) {
    const float x = detail::float_of(static_cast<std::uint32_t>(bits));
    if (!(x >= low && x <= high)) continue;
    const double expected = reference(static_cast<double>(x));
    const float rounded = std::fabs(static_cast<float>(expected));
    const double ulp = std::nextafter(rounded, kInfinity) - rounded;
    const double error = std::fabs(static_cast<double>(function(x)) - expected) / ulp;
    if (!(error <= worst)) worst = error;
  }
  return worst;
}

TEST(VectorMath, ExpIsAccurate) {
  const auto function = [](float x) { return exp(x); };
  const auto reference = [](double x) { return std::exp(x); };
  EXPECT_LT(worst_ulps(-87.3f, 88.72f, function, reference), 1.5);
  EXPECT_LT(worst_ulps(-110.0f, -87.3f, function, reference), 1.5);  // subnormal results
}

TEST(VectorMath, ExpOrZeroIsAccurateAndNeverSubnormal) {
  const auto function = [](float x) { return exp_or_zero(x); };
  const auto reference = [](double x) { return std::exp(x); };
  EXPECT_LT(worst_ulps(-87.0f, 88.0f, function, reference), 1.5);
  EXPECT_TRUE(std::isnormal(exp_or_zero(-87.0f)));
  EXPECT_EQ(exp_or_zero(std::nextafter(-87.0f, -kInfinity)), 0.0f);
  for (float below : {-90.0f, -104.0f, -1e38f, -kInfinity}) EXPECT_EQ(exp_or_zero(below), 0.0f);
  EXPECT_EQ(exp_or_zero(kInfinity), exp_or_zero(88.0f));
  EXPECT_EQ(exp_or_zero(0.0f), 1.0f);
}

TEST(VectorMath, Exp2OfProductIsAccurate) {
#ifdef FP_FAST_FMAF
  constexpr double kUnits = 2.5;
#else
  constexpr double kUnits = 2.5 + 126.0 / 2;  // the product is rounded
#endif
  // In double the product of two floats is exact.
  for (float factor : {1.0f, -0.3f, 1.44269504f}) {
    const double bound = 125.9 / std::fabs(factor);
    const auto function = [=](float x) { return exp2_of_product(x, factor); };
    const auto reference = [=](double x) { return std::exp2(x * static_cast<double>(factor)); };
    EXPECT_LT(worst_ulps(-bound, bound, function, reference), kUnits) << factor;
  }
  EXPECT_EQ(exp2_of_product(0.0f, -3.0f), 1.0f);
  for (float below = -126.0f; below > -128.0f; below -= 1.0f / 64.0f) {
    const float power = exp2_of_product(below, 1.0f);
    EXPECT_TRUE(power >= 0.0f && power <= 1.18e-38f) << below;
  }
  for (float below = -128.0f; below > -250.0f; below -= 1.0f / 64.0f) {
    EXPECT_EQ(exp2_of_product(below, 1.0f), 0.0f) << below;
  }
}

TEST(VectorMath, TanhIsAccurate) {
  EXPECT_LT(
      worst_ulps(
          -20.0f, 20.0f, [](float x) { return tanh(x); }, [](double x) { return std::tanh(x); }),
      3.0);
}

TEST(VectorMath, ErfIsAccurate) {
  EXPECT_LT(worst_ulps(
                -6.0f, 6.0f, [](float x) { return erf(x); }, [](double x) { return std::erf(x); }),
            3.0);
}

TEST(VectorMath, LimitsAreExact) {
  EXPECT_EQ(exp(0.0f), 1.0f);
  EXPECT_EQ(exp(-kInfinity), 0.0f);
  EXPECT_EQ(exp(-1e38f), 0.0f);
  EXPECT_EQ(exp(-104.5f), 0.0f);
  EXPECT_EQ(exp(88.73f), kInfinity);
  EXPECT_EQ(exp(1e38f), kInfinity);
  EXPECT_EQ(exp(kInfinity), kInfinity);
  for (float large : {10.0f, 1e10f, kInfinity}) {
    EXPECT_EQ(tanh(large), 1.0f);
    EXPECT_EQ(tanh(-large), -1.0f);
    EXPECT_EQ(erf(large), 1.0f);
    EXPECT_EQ(erf(-large), -1.0f);
  }
  EXPECT_EQ(tanh(0.0f), 0.0f);
  EXPECT_TRUE(std::signbit(tanh(-0.0f)));
  EXPECT_EQ(erf(0.0f), 0.0f);
}

TEST(VectorMath, NanStaysNan) {
  for (float nan : {kNan, -kNan}) {
    EXPECT_TRUE(std::isnan(exp(nan)));
    EXPECT_TRUE(std::isnan(exp_or_zero(nan)));
    EXPECT_TRUE(std::isnan(tanh(nan)));
    EXPECT_TRUE(std::isnan(erf(nan)));
  }
}

// One value, computed alone and at every place of a vectorised loop of every short length.
TEST(VectorMath, VectorBodyAndTailAgree) {
  for (float x : {-3.7f, -0.9f, -1e-3f, 0.3f, 1.4f, 20.0f}) {
    volatile float alone = x;
    const float exp_alone = exp(alone);
    const float exp_or_zero_alone = exp_or_zero(alone);
    const float exp2_alone = exp2_of_product(alone, 0.7f);
    const float tanh_alone = tanh(alone);
    const float erf_alone = erf(alone);
    for (int count = 1; count <= 40; ++count) {
      const std::vector<float> in(static_cast<std::size_t>(count), x);
      std::vector<float> exps(in.size()), exps_or_zero(in.size()), exp2s(in.size()),
          tanhs(in.size()), erfs(in.size());
#pragma omp simd
      for (int i = 0; i < count; ++i) {
        exps[i] = exp(in[i]);
        exps_or_zero[i] = exp_or_zero(in[i]);
        exp2s[i] = exp2_of_product(in[i], 0.7f);
        tanhs[i] = tanh(in[i]);
        erfs[i] = erf(in[i]);
      }
      for (int i = 0; i < count; ++i) {
        ASSERT_EQ(exps[i], exp_alone);
        ASSERT_EQ(exps_or_zero[i], exp_or_zero_alone);
        ASSERT_EQ(exp2s[i], exp2_alone);
        ASSERT_EQ(tanhs[i], tanh_alone);
        ASSERT_EQ(erfs[i], erf_alone);
      }
    }
  }
}

}  // namespace
}  // namespace shardgrad::cpu
