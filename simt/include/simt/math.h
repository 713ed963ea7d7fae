// Device mathematics that the C library lacks. Approximate functions are computed exactly.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
inline double rsqrt(double x) { return 1.0 / sqrt(x); }
inline float __expf(float x) { return expf(x); }
inline float __logf(float x) { return logf(x); }
inline float __log2f(float x) { return log2f(x); }
inline float __sinf(float x) { return sinf(x); }
inline float __cosf(float x) { return cosf(x); }
inline float __powf(float x, float y) { return powf(x, y); }
inline float __tanhf(float x) { return tanhf(x); }
inline void sincospif(float x, float* sine, float* cosine) {
  const double angle = 3.14159265358979323846 * std::fmod(static_cast<double>(x), 2.0);
  *sine = static_cast<float>(std::sin(angle));
  *cosine = static_cast<float>(std::cos(angle));
}
inline float sinpif(float x) {
  float sine, cosine;
  sincospif(x, &sine, &cosine);
  return sine;
}
inline float cospif(float x) {
  float sine, cosine;
  sincospif(x, &sine, &cosine);
  return cosine;
}
inline void sincospi(double x, double* sine, double* cosine) {
  const double angle = 3.14159265358979323846 * std::fmod(x, 2.0);
  *sine = std::sin(angle);
  *cosine = std::cos(angle);
}
inline float __fdividef(float a, float b) { return a / b; }
inline float __saturatef(float x) { return x > 0.0f ? (x < 1.0f ? x : 1.0f) : 0.0f; }

// Operations rounded to nearest, which the compiler never merges into a fused multiply-add on a
// GPU. A volatile intermediate keeps it from doing so here.
#define SIMT_ROUNDED(NAME, T, OPERATOR)     \
  inline T NAME(T a, T b) {                 \
    const volatile T result = a OPERATOR b; \
    return result;                          \
  }
SIMT_ROUNDED(__fadd_rn, float, +)
SIMT_ROUNDED(__fsub_rn, float, -)
SIMT_ROUNDED(__fmul_rn, float, *)
SIMT_ROUNDED(__fdiv_rn, float, /)
SIMT_ROUNDED(__dadd_rn, double, +)
SIMT_ROUNDED(__dsub_rn, double, -)
SIMT_ROUNDED(__dmul_rn, double, *)
SIMT_ROUNDED(__ddiv_rn, double, /)
#undef SIMT_ROUNDED
inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
inline double __fma_rn(double a, double b, double c) { return fma(a, b, c); }
inline float __frcp_rn(float x) { return 1.0f / x; }
inline float __fsqrt_rn(float x) { return sqrtf(x); }
inline float __frsqrt_rn(float x) { return rsqrtf(x); }
inline double __dsqrt_rn(double x) { return sqrt(x); }

// --- Conversions
// ------------------------------------------------------------------------------------

namespace simt {
/// A conversion to an integer as a GPU does it: NaN is 0, what is out of range becomes the limit.
template <class Integer>
Integer to_integer(double x, double lowest, double highest) {
  if (!(x == x)) return 0;
  if (x <= lowest) return static_cast<Integer>(lowest);
  return x >= highest ? static_cast<Integer>(highest) : static_cast<Integer>(x);
}
inline int to_int(double x) { return to_integer<int>(x, -2147483648.0, 2147483647.0); }
inline unsigned to_unsigned(double x) { return to_integer<unsigned>(x, 0.0, 4294967295.0); }

template <class To, class From>
To bit_cast(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  std::memcpy(&to, &from, sizeof to);
  return to;
}
}  // namespace simt

inline int __float2int_rn(float x) { return simt::to_int(nearbyint(x)); }
inline int __float2int_rz(float x) { return simt::to_int(trunc(x)); }
inline int __float2int_rd(float x) { return simt::to_int(floor(x)); }
inline int __float2int_ru(float x) { return simt::to_int(ceil(x)); }
inline unsigned __float2uint_rn(float x) { return simt::to_unsigned(nearbyint(x)); }
inline unsigned __float2uint_rz(float x) { return simt::to_unsigned(trunc(x)); }
inline int __double2int_rn(double x) { return simt::to_int(nearbyint(x)); }
inline int __double2int_rz(double x) { return simt::to_int(trunc(x)); }
inline float __int2float_rn(int x) { return static_cast<float>(x); }
inline float __uint2float_rn(unsigned x) { return static_cast<float>(x); }
inline double __int2double_rn(int x) { return x; }
inline double __uint2double_rn(unsigned x) { return x; }
inline float __double2float_rn(double x) { return static_cast<float>(x); }
inline unsigned __float_as_uint(float x) { return simt::bit_cast<unsigned>(x); }
inline int __float_as_int(float x) { return simt::bit_cast<int>(x); }
inline float __uint_as_float(unsigned x) { return simt::bit_cast<float>(x); }
inline float __int_as_float(int x) { return simt::bit_cast<float>(x); }
inline long long __double_as_longlong(double x) { return simt::bit_cast<long long>(x); }
inline double __longlong_as_double(long long x) { return simt::bit_cast<double>(x); }

// --- Integers
// ---------------------------------------------------------------------------------------

inline unsigned __umulhi(unsigned a, unsigned b) {
  return static_cast<unsigned>((static_cast<uint64_t>(a) * b) >> 32);
}
inline int __mulhi(int a, int b) { return static_cast<int>((static_cast<int64_t>(a) * b) >> 32); }
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
  return static_cast<unsigned long long>((static_cast<unsigned __int128>(a) * b) >> 64);
}
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __ffsll(long long x) { return __builtin_ffsll(x); }
inline int __clz(int x) { return x == 0 ? 32 : __builtin_clz(static_cast<unsigned>(x)); }
inline int __clzll(long long x) {
  return x == 0 ? 64 : __builtin_clzll(static_cast<unsigned long long>(x));
}
inline unsigned __brev(unsigned x) {
  unsigned reversed = 0;
  for (int i = 0; i < 32; ++i) reversed |= (x >> i & 1u) << (31 - i);
  return reversed;
}

#define SIMT_MIN_MAX(T)                            \
  inline T min(T a, T b) { return b < a ? b : a; } \
  inline T max(T a, T b) { return a < b ? b : a; }
SIMT_MIN_MAX(int)
SIMT_MIN_MAX(unsigned)
SIMT_MIN_MAX(long)
SIMT_MIN_MAX(unsigned long)
SIMT_MIN_MAX(long long)
SIMT_MIN_MAX(unsigned long long)
#undef SIMT_MIN_MAX
inline float min(float a, float b) { return fminf(a, b); }
inline float max(float a, float b) { return fmaxf(a, b); }
inline double min(double a, double b) { return fmin(a, b); }
inline double max(double a, double b) { return fmax(a, b); }
