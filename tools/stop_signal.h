// SIGINT and SIGTERM as a wish to stop at the next good moment.
#pragma once

namespace shardgrad {

/// While it lives, the first SIGINT or SIGTERM to the process is only noted, and the second ends
/// the process at once, with the status that shells give it: 128 + its number. A file that grows
/// beyond the limit of the process is an error where it is written, not a signal that ends it.
class StopSignals {
 public:
  StopSignals();
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;
};

/// Whether there was a first one.
bool stop_requested();

}  // namespace shardgrad
