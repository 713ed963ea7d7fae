// The one object of a type.
#pragma once

#include <new>

namespace simt {

/// Made when it is first asked for, and never destroyed: threads of the process, and what ends with
/// it, may still use it. It is not on the heap: ThreadSanitizer, which does not see the guard of a
/// static variable here, would take the allocation and another thread's first use for a race.
template <class T>
T& forever() {
  alignas(T) static unsigned char memory[sizeof(T)];
  static T* object = new (memory) T;
  return *object;
}

}  // namespace simt
