#include "simt/src/nccl_reduce.h"

#include <algorithm>
#include <cmath>
#include <type_traits>

namespace simt {
namespace {

constexpr size_t kChunk = 1024;

/// Integers wrap.
template <class T>
T add(T a, T b) {
  if constexpr (std::is_integral_v<T>) {
    using Wide = unsigned long long;
    return static_cast<T>(static_cast<Wide>(a) + static_cast<Wide>(b));
  } else {
    return a + b;
  }
}
template <class T>
T multiply(T a, T b) {
  if constexpr (std::is_integral_v<T>) {
    using Wide = unsigned long long;
    return static_cast<T>(static_cast<Wide>(a) * static_cast<Wide>(b));
  } else {
    return a * b;
  }
}
template <class T>
T larger(T a, T b) {
  if constexpr (std::is_integral_v<T>) return std::max(a, b);
  return static_cast<T>(std::fmax(a, b));
}
template <class T>
T smaller(T a, T b) {
  if constexpr (std::is_integral_v<T>) return std::min(a, b);
  return static_cast<T>(std::fmin(a, b));
}

/// `Sum` is the type of the arithmetic.
template <class T, class Sum>
void reduce(const std::vector<const void*>& inputs, const std::vector<void*>& outputs, size_t count,
            ncclRedOp_t op) {
  Sum total[kChunk];
  for (size_t begin = 0; begin < count; begin += kChunk) {
    const size_t size = std::min(kChunk, count - begin);
    for (size_t rank = 0; rank < inputs.size(); ++rank) {
      const T* from = static_cast<const T*>(inputs[rank]) + begin;
      const auto combine = [&](auto function) {
        for (size_t i = 0; i < size; ++i) {
          total[i] = function(total[i], static_cast<Sum>(from[i]));
        }
      };
      if (rank == 0) {
        combine([](Sum, Sum x) { return x; });
      } else if (op == ncclProd) {
        combine(multiply<Sum>);
      } else if (op == ncclMax) {
        combine(larger<Sum>);
      } else if (op == ncclMin) {
        combine(smaller<Sum>);
      } else {
        combine(add<Sum>);
      }
    }
    if (op == ncclAvg) {
      for (size_t i = 0; i < size; ++i) {
        total[i] = static_cast<Sum>(total[i] / static_cast<Sum>(inputs.size()));
      }
    }
    for (void* output : outputs) {
      T* to = static_cast<T*>(output) + begin;
      for (size_t i = 0; i < size; ++i) to[i] = static_cast<T>(total[i]);
    }
  }
}

}  // namespace

size_t element_bytes(ncclDataType_t type) {
  switch (type) {
    case ncclInt8:
    case ncclUint8:
      return 1;
    case ncclFloat16:
    case ncclBfloat16:
      return 2;
    case ncclInt32:
    case ncclUint32:
    case ncclFloat32:
      return 4;
    case ncclInt64:
    case ncclUint64:
    case ncclFloat64:
      return 8;
    default:
      return 0;
  }
}

void reduce_elements(const std::vector<const void*>& inputs, const std::vector<void*>& outputs,
                     size_t count, ncclDataType_t type, ncclRedOp_t op) {
  switch (type) {
    case ncclInt8:
      return reduce<signed char, signed char>(inputs, outputs, count, op);
    case ncclUint8:
      return reduce<unsigned char, unsigned char>(inputs, outputs, count, op);
    case ncclInt32:
      return reduce<int, int>(inputs, outputs, count, op);
    case ncclUint32:
      return reduce<unsigned, unsigned>(inputs, outputs, count, op);
    case ncclInt64:
      return reduce<long long, long long>(inputs, outputs, count, op);
    case ncclUint64:
      return reduce<unsigned long long, unsigned long long>(inputs, outputs, count, op);
    case ncclFloat16:
      return reduce<__half, float>(inputs, outputs, count, op);
    case ncclFloat32:
      return reduce<float, float>(inputs, outputs, count, op);
    case ncclFloat64:
      return reduce<double, double>(inputs, outputs, count, op);
    case ncclBfloat16:
      return reduce<__nv_bfloat16, float>(inputs, outputs, count, op);
    default:
      return;
  }
}

}  // namespace simt
