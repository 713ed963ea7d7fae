// Tests of what a sanitizer finds: its report ends the program, so they run in a process of their
// own.
#pragma once

#include <cstdlib>
#include <functional>
#include <string>

#include "tests/simt/simt_testing.h"

namespace simt {

/// With this status a program ends in which the sanitizer has found something.
constexpr int kSanitizerStatus = kThreadSanitizer ? 66 : 1;

/// `work` must lead to a report of the sanitizer that this test is compiled with.
inline void expect_sanitizer_report(const std::function<void()>& work,
                                    const ::testing::Matcher<const std::string&>& matcher) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        work();
        std::exit(0);
      },
      ::testing::ExitedWithCode(kSanitizerStatus), matcher);
}

/// "FILE:LINE", as sanitizers name a place.
inline std::string place(const char* file, int line) {
  return std::string(file) + ":" + std::to_string(line);
}

}  // namespace simt
