// What this processor is, where a kernel chooses by it.
#pragma once

namespace shardgrad::cpu {

/// Whether Intel made this processor.
bool is_intel();

/// Whether oneDNN uses AVX-512 here.
bool has_avx512();

/// Whether this processor has instructions that multiply bfloat16 numbers.
bool multiplies_bfloat16();

}  // namespace shardgrad::cpu
