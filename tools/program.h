// What every program does around its work.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>

#include "parallel/processes.h"

namespace shardgrad {

/// Runs `body` and turns whatever it throws into one line on stderr and exit status 1. Started by
/// mpirun as several processes, each runs `body`; what they print on stdout is that of the first,
/// and one of them reports an error and ends all.
int run_program(const char* name, const std::function<void(Processes&)>& body);

/// Parses the command line. Returns false when it asked for --help, which has then been printed.
/// Of an option that is given twice, the last counts.
/// @throws Error with the parser's message when it is wrong.
bool parse_command_line(CLI::App& app, int argc, const char* const* argv);

/// `path`, relative to where the user stands: `bazel run` starts programs elsewhere, and says in
/// BUILD_WORKING_DIRECTORY where it was called.
std::string user_path(const std::string& path);

/// The C++ source of Eigen, which the build puts beside the program.
/// @throws Error when it is not there.
std::string eigen_corpus_path();

/// Checks for CLI11 options: an integer in [minimum, maximum], a finite number of at least 0, a
/// number in [0, 1).
CLI::Validator at_least(std::int64_t minimum, std::int64_t maximum = 2147483647);
CLI::Validator not_negative();
CLI::Validator fraction();

/// The most ranks or threads per rank that a command line may ask for.
constexpr std::int64_t kMostThreads = 1024;

}  // namespace shardgrad
