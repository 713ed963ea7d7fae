// How far a long task is.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace shardgrad {

/// Reports on stderr how many bytes are done, how fast, and how long the rest will take: once two
/// seconds have passed, on a terminal in place, elsewhere a line every five seconds.
class Progress {
 public:
  /// `task` says what is being done to the `total` bytes.
  Progress(std::string task, std::int64_t total);
  ~Progress() { clear(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// So many more bytes are done.
  void advance(std::int64_t bytes);

  /// Removes the line from the terminal, so that something else can be printed.
  void clear();

  /// "12.3 MB in 4.5 s, 2.7 MB/s".
  std::string summary() const;

 private:
  using Clock = std::chrono::steady_clock;
  double elapsed() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }
  double megabytes_per_second() const;

  std::string task_;
  std::int64_t total_;
  std::int64_t done_ = 0;
  bool terminal_;
  bool line_open_ = false;
  Clock::time_point start_ = Clock::now();
  double shown_ = 0.0;  // seconds after the start
};

}  // namespace shardgrad
