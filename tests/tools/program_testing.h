// Running a program as its user does, and reading what it left.
#pragma once

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

namespace shardgrad::program_testing {

struct ProgramResult {
  int status = -1;  ///< exit status; 124 when it took more than a minute
  std::string out;
  std::string error;
};

inline std::string read_file(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

inline void write_file(const std::string& path, const std::string& text) {
  std::ofstream(path) << text;
}

/// A path below the test's own folder.
inline std::string scratch(const std::string& name) { return ::testing::TempDir() + "/" + name; }

/// Runs `command`, e.g. "tools/train --tp=2", in the shell.
inline ProgramResult run(const std::string& command) {
  const std::string out = scratch("stdout"), error = scratch("stderr");
  const std::string line = "timeout 60 " + command + " >" + out + " 2>" + error + " </dev/null";
  const int status = std::system(line.c_str());
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, read_file(out), read_file(error)};
}

/// Expects one line on stderr that contains `text`, and exit status 1.
inline void expect_error(const std::string& command, const std::string& text) {
  const ProgramResult result = run(command);
  EXPECT_EQ(result.status, 1) << command;
  EXPECT_NE(result.error.find(text), std::string::npos) << command << "\n" << result.error;
  EXPECT_EQ(std::count(result.error.begin(), result.error.end(), '\n'), 1) << result.error;
}

/// The objects of a metrics.jsonl.
inline std::vector<nlohmann::json> read_metrics(const std::string& path) {
  std::ifstream file(path);
  std::vector<nlohmann::json> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(nlohmann::json::parse(line));
  return lines;
}

}  // namespace shardgrad::program_testing
