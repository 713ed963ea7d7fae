// The built-in types and variables of CUDA C++: dim3, the vector types, threadIdx and its like.
#pragma once

struct uint3 {
  unsigned x, y, z;
};

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
  constexpr dim3(uint3 v) : x(v.x), y(v.y), z(v.z) {}
};

namespace simt {
/// dim3 without a constructor, so that a thread-local one costs no guard at each use.
struct PlainDim3 {
  unsigned x, y, z;
  operator dim3() const { return {x, y, z}; }
};
}  // namespace simt

// Set at every switch between CUDA threads (threadIdx), for each block (blockIdx) and launch.
extern __thread uint3 threadIdx;
extern __thread uint3 blockIdx;
extern __thread simt::PlainDim3 blockDim;
extern __thread simt::PlainDim3 gridDim;
constexpr int warpSize = 32;

#define SIMT_VECTOR2(T, NAME, ALIGNMENT) \
  struct alignas(ALIGNMENT) NAME {       \
    T x, y;                              \
  };                                     \
  inline NAME make_##NAME(T x, T y) { return {x, y}; }
#define SIMT_VECTOR3(T, NAME) \
  struct NAME {               \
    T x, y, z;                \
  };                          \
  inline NAME make_##NAME(T x, T y, T z) { return {x, y, z}; }
#define SIMT_VECTOR4(T, NAME, ALIGNMENT) \
  struct alignas(ALIGNMENT) NAME {       \
    T x, y, z, w;                        \
  };                                     \
  inline NAME make_##NAME(T x, T y, T z, T w) { return {x, y, z, w}; }

SIMT_VECTOR2(unsigned char, uchar2, 2)
SIMT_VECTOR4(unsigned char, uchar4, 4)
SIMT_VECTOR2(unsigned short, ushort2, 4)
SIMT_VECTOR4(unsigned short, ushort4, 8)
SIMT_VECTOR2(int, int2, 8)
SIMT_VECTOR3(int, int3)
SIMT_VECTOR4(int, int4, 16)
SIMT_VECTOR2(unsigned, uint2, 8)
SIMT_VECTOR4(unsigned, uint4, 16)
SIMT_VECTOR2(long long, longlong2, 16)
SIMT_VECTOR2(unsigned long long, ulonglong2, 16)
SIMT_VECTOR2(float, float2, 8)
SIMT_VECTOR3(float, float3)
SIMT_VECTOR4(float, float4, 16)
SIMT_VECTOR2(double, double2, 16)
#undef SIMT_VECTOR2
#undef SIMT_VECTOR3
#undef SIMT_VECTOR4

inline uint3 make_uint3(unsigned x, unsigned y, unsigned z) { return {x, y, z}; }
