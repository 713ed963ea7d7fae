// Runs a built program as a user does, and keeps what it prints.
#pragma once

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

namespace shardgrad::tool_testing {

constexpr int kTimeoutSeconds = 60;

struct Result {
  int status = -1;  ///< exit status; -1 when a signal or the timeout ended it
  std::string out;  ///< stdout; on a terminal stderr too
  std::string err;
};

/// Where a program of //tools lies among the test's files. One of another package has a path, and
/// one of the system a path that begins with a slash.
inline std::string tool_path(const std::string& name) {
  if (name[0] == '/') return name;
  const char* files = std::getenv("TEST_SRCDIR");
  const char* workspace = std::getenv("TEST_WORKSPACE");
  EXPECT_TRUE(files != nullptr && workspace != nullptr) << "run this through bazel test";
  const std::string root = std::string(files) + "/" + workspace + "/";
  return root + (name.find('/') == std::string::npos ? "tools/" + name : name);
}

/// Reads what the child writes into the pipes until it has closed them; kills it at the timeout.
inline void collect(pid_t child, std::vector<pollfd> pipes, std::vector<std::string*> texts) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(kTimeoutSeconds);
  const auto open = [](const pollfd& pipe) { return pipe.fd >= 0; };
  while (std::any_of(pipes.begin(), pipes.end(), open)) {
    if (std::chrono::steady_clock::now() > deadline) {
      kill(child, SIGKILL);
      ADD_FAILURE() << "still running after " << kTimeoutSeconds << " s";
      break;
    }
    poll(pipes.data(), pipes.size(), 100);
    for (std::size_t i = 0; i < pipes.size(); ++i) {
      if (pipes[i].fd < 0 || pipes[i].revents == 0) continue;
      char buffer[4096];
      const ssize_t count = read(pipes[i].fd, buffer, sizeof(buffer));
      if (count > 0) {
        texts[i]->append(buffer, static_cast<std::size_t>(count));
      } else {
        close(pipes[i].fd);
        pipes[i].fd = -1;
      }
    }
  }
  for (const pollfd& pipe : pipes) {
    if (pipe.fd >= 0) close(pipe.fd);
  }
}

inline int exit_status(pid_t child) {
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_FALSE(WIFSIGNALED(status)) << "ended by signal " << WTERMSIG(status);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

// In the child: becomes the program, started in `folder` with `environment` ("NAME=value") added.
[[noreturn]] inline void become(std::vector<std::string>& words, const std::string& folder,
                                std::vector<std::string>& environment) {
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  unsetenv("BUILD_WORKING_DIRECTORY");
  setenv("CUDA_VISIBLE_DEVICES", "", 1);  // the same run on any machine
  for (std::string& variable : environment) putenv(variable.data());
  if (chdir(folder.c_str()) == 0) execv(argv[0], argv.data());
  _exit(127);
}

/// Runs the program in `folder`, with its output in pipes.
inline Result run(const std::string& tool, const std::vector<std::string>& arguments,
                  const std::string& folder, std::vector<std::string> environment = {}) {
  std::vector<std::string> words{tool_path(tool)};
  words.insert(words.end(), arguments.begin(), arguments.end());
  int out[2], err[2];
  if (pipe2(out, O_CLOEXEC) != 0 || pipe2(err, O_CLOEXEC) != 0) std::abort();
  const pid_t child = fork();
  if (child == 0) {
    dup2(out[1], STDOUT_FILENO);
    dup2(err[1], STDERR_FILENO);
    become(words, folder, environment);
  }
  close(out[1]);
  close(err[1]);
  Result result;
  collect(child, {{out[0], POLLIN, 0}, {err[0], POLLIN, 0}}, {&result.out, &result.err});
  result.status = exit_status(child);
  return result;
}

/// Runs the program on a terminal of its own, `columns` wide.
inline Result run_on_terminal(const std::string& tool, const std::vector<std::string>& arguments,
                              const std::string& folder, unsigned short columns) {
  std::vector<std::string> words{tool_path(tool)}, environment;
  words.insert(words.end(), arguments.begin(), arguments.end());
  winsize size{24, columns, 0, 0};
  int terminal = -1;
  const pid_t child = forkpty(&terminal, nullptr, nullptr, &size);
  if (child == 0) become(words, folder, environment);
  Result result;
  collect(child, {{terminal, POLLIN, 0}}, {&result.out});
  result.status = exit_status(child);
  return result;
}

inline std::string content(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file.is_open()) << path;
  return {std::istreambuf_iterator<char>(file), {}};
}

inline std::vector<std::string> lines(const std::string& text) {
  std::vector<std::string> result;
  std::size_t start = 0;
  for (auto end = text.find('\n'); end != std::string::npos; end = text.find('\n', start)) {
    result.push_back(text.substr(start, end - start));
    start = end + 1;
  }
  if (start < text.size()) result.push_back(text.substr(start));
  return result;
}

/// Expects what every program does about bad input: one line on stderr that holds `message`, and
/// exit status 1.
inline void expect_error(const Result& result, const std::string& tool,
                         const std::string& message) {
  EXPECT_EQ(result.status, 1);
  EXPECT_THAT(result.err, ::testing::StartsWith(tool + ": error: ["));
  EXPECT_THAT(result.err, ::testing::HasSubstr(message));
  EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  EXPECT_THAT(result.err, ::testing::EndsWith("\n"));
}

/// A test with an empty folder of its own, and a text in it.
class ToolTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto* info = ::testing::UnitTest::GetInstance()->current_test_info();
    folder_ = ::testing::TempDir() + "/" + info->test_suite_name() + "." + info->name();
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
    std::string text;
    for (int i = 0; i < 200; ++i) text += "line " + std::to_string(i * i) + " of the text\n";
    write("text.txt", text);
  }

  void write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ + "/" + name, std::ios::binary) << text;
  }

  /// A tiny run on text.txt; what `changes` repeats counts instead. One thread per rank: the tests
  /// run side by side.
  static std::vector<std::string> tiny(const std::vector<std::string>& changes) {
    std::vector<std::string> arguments{"--n-layers=1",      "--d-model=32",     "--n-heads=2",
                                       "--seq-len=16",      "--batch-size=4",   "--steps=4",
                                       "--eval-interval=2", "--eval-steps=1",   "--threads=1",
                                       "--data=text.txt",   "--sample-tokens=8"};
    arguments.insert(arguments.end(), changes.begin(), changes.end());
    return arguments;
  }

  std::string folder_;
};

}  // namespace shardgrad::tool_testing
