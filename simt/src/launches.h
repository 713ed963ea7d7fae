// Which kernels have run since the red zones were last looked at.
#pragma once

#include <string>

namespace simt {

void note_launch(const std::string& kernel_name);

/// Checks every red zone if kernels have run since the last time; a report names them.
void check_memory_after_launches();

/// "kernel NAME ", or "one of the kernels A, B, C " of those launched since the last check of all.
std::string launched_kernels();

}  // namespace simt
