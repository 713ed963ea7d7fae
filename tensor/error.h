// The one exception type of the project, and the one way to throw it.
#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace shardgrad {

/// Every failure that shardgrad reports. The message reads
/// `[where] what was wrong, the values, and what would be right`; programs print it as one line and
/// exit with status 1.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Throws Error with the message `[where] ` followed by the formatted text.
template <class... Args>
[[noreturn]] void fail(const char* where, fmt::format_string<Args...> format, Args&&... args) {
  throw Error(fmt::format("[{}] ", where) + fmt::format(format, std::forward<Args>(args)...));
}

/// Calls fail() unless `condition` holds. The arguments are evaluated either way, the text is only
/// formatted on failure.
template <class... Args>
void require(bool condition, const char* where, fmt::format_string<Args...> format,
             Args&&... args) {
  if (!condition) fail(where, format, std::forward<Args>(args)...);
}

}  // namespace shardgrad
