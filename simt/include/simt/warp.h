// Shuffles, votes and reductions within a warp.
#pragma once

#include <cstring>
#include <type_traits>

#include "simt/device.h"

namespace simt {

template <class T>
struct ShufflePayload {
  T value;
  T result;
  int source;  // a lane, or negative: the thread keeps its own value
};

/// A lane that takes no part reads as NaN (all bits set).
template <class T>
T shuffle(unsigned mask, WarpOperation operation, T value, int source, const char* file, int line) {
  static_assert(std::is_trivially_copyable_v<T>, "shuffles move plain values");
  ShufflePayload<T> mine{value, value, source};
  if (source >= 0) std::memset(static_cast<void*>(&mine.result), 0xFF, sizeof(T));
  warp_operation(
      mask, operation, &mine,
      [](void* const payload[32], unsigned present) SIMT_WARP_WIDE {
        for (unsigned left = present; left != 0; left &= left - 1) {
          auto* lane = static_cast<ShufflePayload<T>*>(payload[__builtin_ctz(left)]);
          if (lane->source >= 0 && (present >> lane->source & 1)) {
            lane->result = static_cast<ShufflePayload<T>*>(payload[lane->source])->value;
          }
        }
      },
      file, line);
  return mine.result;
}

template <class T>
struct ReducePayload {
  T value;
  T result;
  T (*combine)(T, T);
};

/// Combines the values of the lanes in `mask`, in the order of the lanes.
template <class T>
T warp_reduce(unsigned mask, T value, T (*combine)(T, T), const char* file, int line) {
  using Payload = ReducePayload<T>;
  Payload mine{value, value, combine};
  warp_operation(
      mask, WarpOperation::Reduce, &mine,
      [](void* const payload[32], unsigned present) SIMT_WARP_WIDE {
        const auto* first = static_cast<Payload*>(payload[__builtin_ctz(present)]);
        T total = first->value;
        for (unsigned left = present & (present - 1); left != 0; left &= left - 1) {
          total = first->combine(total, static_cast<Payload*>(payload[__builtin_ctz(left)])->value);
        }
        for (unsigned left = present; left != 0; left &= left - 1) {
          static_cast<Payload*>(payload[__builtin_ctz(left)])->result = total;
        }
      },
      file, line);
  return mine.result;
}

}  // namespace simt

template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32, SIMT_PLACE) {
  const int lane = simt::lane_id();
  return simt::shuffle(mask, simt::WarpOperation::Shuffle, value,
                       (lane & ~(width - 1)) | (source & (width - 1)), file_, line_);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = 32, SIMT_PLACE) {
  const int lane = simt::lane_id();
  const int source = lane ^ lanes;
  const bool inside = (source & ~(width - 1)) <= (lane | (width - 1));
  return simt::shuffle(mask, simt::WarpOperation::ShuffleXor, value, inside ? source : -1, file_,
                       line_);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32, SIMT_PLACE) {
  const int lane = simt::lane_id();
  const int source = lane + static_cast<int>(delta);
  const bool inside = (lane & (width - 1)) + static_cast<int>(delta) < width;
  return simt::shuffle(mask, simt::WarpOperation::ShuffleDown, value, inside ? source : -1, file_,
                       line_);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32, SIMT_PLACE) {
  const int lane = simt::lane_id();
  const int source = lane - static_cast<int>(delta);
  const bool inside = (lane & (width - 1)) >= static_cast<int>(delta);
  return simt::shuffle(mask, simt::WarpOperation::ShuffleUp, value, inside ? source : -1, file_,
                       line_);
}

inline unsigned __ballot_sync(unsigned mask, int predicate, SIMT_PLACE) {
  return simt::warp_reduce<unsigned>(
      mask, predicate ? 1u << simt::lane_id() : 0u, [](unsigned a, unsigned b) { return a | b; },
      file_, line_);
}
inline int __any_sync(unsigned mask, int predicate, SIMT_PLACE) {
  return __ballot_sync(mask, predicate, file_, line_) != 0;
}
inline int __all_sync(unsigned mask, int predicate, SIMT_PLACE) {
  return __ballot_sync(mask, !predicate, file_, line_) == 0;
}

#define SIMT_WARP_REDUCE(NAME, T, EXPRESSION)                                 \
  inline T NAME(unsigned mask, T value, SIMT_PLACE) {                         \
    return simt::warp_reduce<T>(                                              \
        mask, value, [](T a, T b) -> T { return EXPRESSION; }, file_, line_); \
  }
SIMT_WARP_REDUCE(__reduce_add_sync, unsigned, a + b)
SIMT_WARP_REDUCE(__reduce_add_sync, int, a + b)
SIMT_WARP_REDUCE(__reduce_min_sync, unsigned, b < a ? b : a)
SIMT_WARP_REDUCE(__reduce_min_sync, int, b < a ? b : a)
SIMT_WARP_REDUCE(__reduce_max_sync, unsigned, a < b ? b : a)
SIMT_WARP_REDUCE(__reduce_max_sync, int, a < b ? b : a)
SIMT_WARP_REDUCE(__reduce_and_sync, unsigned, a& b)
SIMT_WARP_REDUCE(__reduce_or_sync, unsigned, a | b)
#undef SIMT_WARP_REDUCE
