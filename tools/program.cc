#include "tools/program.h"

#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "tensor/error.h"

namespace shardgrad {

int run_program(const char* name, const std::function<void()>& body) {
  std::string line;
  try {
    body();
    return 0;
  } catch (const std::exception& error) {
    line = error.what();
  } catch (...) {
    line = "an exception that is not a std::exception";
  }
  for (char& character : line) {
    if (character == '\n' || character == '\r') character = ' ';
  }
  std::fflush(stdout);
  std::fprintf(stderr, "%s: error: %s\n", name, line.c_str());
  return 1;
}

bool parse_command_line(CLI::App& app, int argc, const char* const* argv) {
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp& help) {
    app.exit(help);
    return false;
  } catch (const CLI::ParseError& error) {
    fail("command line", "{} (see --help)", error.what());
  }
  return true;
}

std::string user_path(const std::string& path) {
  const char* start = std::getenv("BUILD_WORKING_DIRECTORY");
  if (start == nullptr || path.empty() || path[0] == '/') return path;
  return (std::filesystem::path(start) / path).lexically_normal().string();
}

std::string eigen_corpus_path() {
  std::error_code error;
  const auto program = std::filesystem::read_symlink("/proc/self/exe", error);
  const std::string path = (program.parent_path() / "eigen_corpus.txt").string();
  require(!error && std::filesystem::exists(path, error), "train",
          "the default corpus is not at {}; build //tools:train, or name a text with --data=PATH",
          path);
  return path;
}

CLI::Validator at_least(std::int64_t minimum) {
  return CLI::Validator(
      [minimum](std::string& text) -> std::string {
        char* end = nullptr;
        const long long value = std::strtoll(text.c_str(), &end, 10);
        if (!text.empty() && *end == '\0' && value >= minimum) return "";
        return "'" + text + "' is not an integer of at least " + std::to_string(minimum);
      },
      "INT >= " + std::to_string(minimum));
}

}  // namespace shardgrad
