#include "tools/program.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <optional>
#include <sstream>
#include <thread>

#include "tensor/error.h"

namespace shardgrad {
namespace {

constexpr std::size_t kHelpColumn = 32, kHelpWidth = 100;

// "  --steps INT    Optimizer steps (default 1250)", wrapped.
class HelpFormatter : public CLI::Formatter {
 public:
  std::string make_help(const CLI::App* app, std::string name,
                        CLI::AppFormatMode mode) const override {
    std::string text = CLI::Formatter::make_help(app, std::move(name), mode);
    for (auto at = text.find("\n\n\n"); at != std::string::npos; at = text.find("\n\n\n"))
      text.erase(at, 1);
    while (text.size() > 1 && text[text.size() - 2] == '\n') text.pop_back();
    return text;
  }

  std::string make_option(const CLI::Option* option, bool positional) const override {
    std::string text = "  " + make_option_name(option, positional);
    // What CLI11 adds to the name that sets a flag to false.
    for (auto at = text.find("{false}"); at != std::string::npos; at = text.find("{false}"))
      text.erase(at, 7);
    if (option->get_type_size() != 0) {
      const std::string type = option->get_type_name();  // "TEXT:{what the check accepts}"
      text += " " + type.substr(0, type.find(':'));
    }
    text += text.size() < kHelpColumn ? std::string(kHelpColumn - text.size(), ' ') : "  ";
    std::string description = option->get_description();
    if (!option->get_default_str().empty())
      description += " (default " + option->get_default_str() + ")";
    std::size_t column = text.size();
    std::istringstream words(description);
    for (std::string word; words >> word; column += word.size() + 1) {
      if (column + word.size() > kHelpWidth) {
        text.back() = '\n';
        text += std::string(kHelpColumn, ' ');
        column = kHelpColumn;
      }
      text += word + " ";
    }
    text.back() = '\n';
    return text;
  }
};

CLI::Validator real_check(bool (*accepts)(double), const char* expected) {
  return CLI::Validator(
      [accepts, expected](std::string& text) -> std::string {
        char* end = nullptr;
        const double value = std::strtod(text.c_str(), &end);
        if (!text.empty() && *end == '\0' && accepts(value)) return "";
        return fmt::format("'{}' is not {}", text, expected);
      },
      "");
}

// Of several processes one prints.
void silence_stdout() {
  std::fflush(stdout);
  const int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
  if (nowhere < 0) return;
  dup2(nowhere, STDOUT_FILENO);
  close(nowhere);
}

}  // namespace

int run_program(const char* name, const std::function<void(Processes&)>& body) {
  const LaunchEnvironment started = launch_environment();
  std::optional<Processes> processes;
  std::string line;
  try {
    processes.emplace(started);
    if (!processes->leads()) silence_stdout();
    body(*processes);
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
  if (processes) {
    processes->report(name, line);
  } else {
    // The ranks cannot speak to each other. The launcher ends the job with the first that ends, so
    // rank 0 gets the time to speak for all; who is still there then has a reason of its own.
    if (started.rank > 0) std::this_thread::sleep_for(std::chrono::seconds(3));
    std::fprintf(stderr, "%s: error: %s\n", name, line.c_str());
  }
  return 1;
}

bool parse_command_line(CLI::App& app, int argc, const char* const* argv) {
  app.formatter(std::make_shared<HelpFormatter>());
  for (CLI::Option* option : app.get_options()) option->take_last();
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

CLI::Validator at_least(std::int64_t minimum, std::int64_t maximum) {
  return CLI::Validator(
      [minimum, maximum](std::string& text) -> std::string {
        char* end = nullptr;
        errno = 0;
        const long long value = std::strtoll(text.c_str(), &end, 10);
        // As it is always written: CLI11 would read "010" as an octal number.
        const bool plain = errno == ERANGE || text == std::to_string(value);
        if (text.empty() || *end != '\0' || !plain || value < minimum)
          return fmt::format("'{}' is not an integer of at least {}", text, minimum);
        if (errno == ERANGE || value > maximum)
          return fmt::format("{} is too large; expected at most {}", text, maximum);
        return "";
      },
      "");
}

CLI::Validator not_negative() {
  return real_check([](double value) { return value >= 0.0 && std::isfinite(value); },
                    "a number of at least 0");
}

CLI::Validator fraction() {
  return real_check([](double value) { return value >= 0.0 && value < 1.0; }, "a number in [0, 1)");
}

}  // namespace shardgrad
