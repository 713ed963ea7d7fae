// Turns a bad address in a kernel into an error of the launch, and says what host code did wrong.
#pragma once

namespace simt {

/// Gives the calling host thread a stack for signals. Sanitizer builds leave signals to the
/// sanitizer.
void prepare_thread_for_crashes();

}  // namespace simt
