#include "tensor/kernels/processor.h"

#include <oneapi/dnnl/dnnl.hpp>

namespace shardgrad::cpu {
namespace {

// Whether oneDNN uses this instruction set here. Its value has the bits of those that it contains.
bool has_instructions(dnnl::cpu_isa set) {
  static const auto present = static_cast<unsigned>(dnnl::get_effective_cpu_isa());
  const auto needed = static_cast<unsigned>(set);
  return (present & needed) == needed;
}

}  // namespace

bool is_intel() {
#ifdef __x86_64__
  return __builtin_cpu_is("intel") != 0;
#else
  return false;
#endif
}

bool has_avx512() { return has_instructions(dnnl::cpu_isa::avx512_core); }

bool multiplies_bfloat16() { return has_instructions(dnnl::cpu_isa::avx512_core_bf16); }

}  // namespace shardgrad::cpu
