// Atomic operations, for integers and for floating-point types (by compare and exchange).
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "simt/device.h"

namespace simt {

/// Replaces *address by change(*address) in one step and returns the old value.
template <class T, class Change>
T atomic_update(T* address, Change change) {
  using Word = std::conditional_t<sizeof(T) == 8, uint64_t,
                                  std::conditional_t<sizeof(T) == 4, uint32_t, uint16_t>>;
  static_assert(sizeof(T) == sizeof(Word));
  preempt();
  Word* word = reinterpret_cast<Word*>(address);
  Word old_bits = __atomic_load_n(word, __ATOMIC_RELAXED);
  for (;;) {
    T old;
    std::memcpy(static_cast<void*>(&old), &old_bits, sizeof old);
    const T value = change(old);
    Word new_bits;
    std::memcpy(&new_bits, static_cast<const void*>(&value), sizeof value);
    if (__atomic_compare_exchange_n(word, &old_bits, new_bits, false, __ATOMIC_RELAXED,
                                    __ATOMIC_RELAXED)) {
      return old;
    }
  }
}

}  // namespace simt

#define SIMT_ATOMIC(NAME, EXPRESSION)                                              \
  template <class T>                                                               \
  T NAME(T* address, simt::Argument<T> value) {                                    \
    return simt::atomic_update(address, [value](T old) { return T(EXPRESSION); }); \
  }
SIMT_ATOMIC(atomicAdd, old + value)
SIMT_ATOMIC(atomicSub, old - value)
SIMT_ATOMIC(atomicMax, old < value ? value : old)
SIMT_ATOMIC(atomicMin, value < old ? value : old)
SIMT_ATOMIC(atomicAnd, old& value)
SIMT_ATOMIC(atomicOr, old | value)
SIMT_ATOMIC(atomicXor, old ^ value)
SIMT_ATOMIC(atomicInc, old >= value ? 0 : old + 1)
SIMT_ATOMIC(atomicDec, old == 0 || old > value ? value : old - 1)
#undef SIMT_ATOMIC

template <class T>
T atomicExch(T* address, simt::Argument<T> value) {
  return simt::atomic_update(address, [value](T) { return value; });
}
template <class T>
T atomicCAS(T* address, simt::Argument<T> compare, simt::Argument<T> value) {
  return simt::atomic_update(address, [=](T old) { return old == compare ? value : old; });
}
