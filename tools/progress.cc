#include "tools/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

namespace shardgrad {

Progress::Progress(std::string task, std::int64_t total)
    : task_(std::move(task)), total_(total), terminal_(isatty(STDERR_FILENO) != 0) {}

double Progress::megabytes_per_second() const {
  return static_cast<double>(done_) / 1e6 / std::max(elapsed(), 1e-3);
}

void Progress::advance(std::int64_t bytes) {
  done_ += bytes;
  const double now = elapsed(), pause = terminal_ ? 0.2 : 5.0;
  if (now < 2.0 || (shown_ > 0.0 && now - shown_ < pause)) return;
  shown_ = now;
  const double rate = megabytes_per_second(), left = static_cast<double>(total_ - done_) / 1e6;
  fmt::print(stderr, "{}{}  {:.1f} of {:.1f} MB  {:.1f} MB/s  ETA {:.0f} s{}",
             terminal_ ? "\r\033[K" : "", task_, static_cast<double>(done_) / 1e6,
             static_cast<double>(total_) / 1e6, rate, left / std::max(rate, 1e-9),
             terminal_ ? "" : "\n");
  line_open_ = terminal_;
  std::fflush(stderr);
}

void Progress::clear() {
  if (line_open_) fmt::print(stderr, "\r\033[K");
  line_open_ = false;
}

std::string Progress::summary() const {
  return fmt::format("{:.1f} MB in {:.1f} s, {:.1f} MB/s", static_cast<double>(done_) / 1e6,
                     elapsed(), megabytes_per_second());
}

}  // namespace shardgrad
