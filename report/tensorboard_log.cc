#include "report/tensorboard_log.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <filesystem>

#include "tensor/error.h"

namespace shardgrad {
namespace {

namespace fs = std::filesystem;

constexpr const char* kPrefix = "events.out.tfevents.";

double now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

// The largest time in the names of the event files of `folder`, -1 if there is none.
std::int64_t newest_time(const std::string& folder) {
  std::int64_t newest = -1;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (name.rfind(kPrefix, 0) != 0) continue;
    std::int64_t time = -1;
    std::from_chars(name.data() + std::string(kPrefix).size(), name.data() + name.size(), time);
    newest = std::max(newest, time);
  }
  return newest;
}

// events.out.tfevents.SECONDS.HOST.PROCESS. Two runs within a second, or a clock that was set back,
// must not change the order.
std::string new_path(const std::string& folder) {
  try {
    fs::create_directories(folder);
    const std::int64_t time = std::max(static_cast<std::int64_t>(now()), newest_time(folder) + 1);
    char host[256] = "";
    gethostname(host, sizeof(host) - 1);
    return fmt::format("{}/{}{:010d}.{}.{}", folder, kPrefix, time, host, getpid());
  } catch (const fs::filesystem_error& error) {
    fail("TensorboardLog", "cannot make the folder {}: {}", folder, error.code().message());
  }
}

// As one line that Markdown, which takes HTML, too, does not change.
std::string markdown_escaped(const std::string& text) {
  std::string result;
  for (const char character : text) {
    if (character == '<') {
      result += "&lt;";
    } else if (character == '&') {
      result += "&amp;";
    } else if (character == '\n') {
      result += ' ';
    } else {
      if (std::string_view("|\\*_`[").find(character) != std::string_view::npos) result += '\\';
      result += character;
    }
  }
  return result;
}

}  // namespace

TensorboardLog::TensorboardLog(const std::string& folder, std::int64_t first_step)
    : file_(new_path(folder), "wx") {
  const double time = now();
  file_.append(tensorboard_record(file_version_event(time)) +
               tensorboard_record(session_start_event(time, first_step)));
}

void TensorboardLog::add_scalars(std::int64_t step, const std::vector<Scalar>& scalars) {
  file_.append(tensorboard_record(scalars_event(now(), step, scalars)));
}

void TensorboardLog::add_text(std::int64_t step, const std::string& tag,
                              const std::string& markdown) {
  file_.append(tensorboard_record(text_event(now(), step, tag, markdown)));
}

std::string markdown_code(const std::string& text) {
  std::string result = "    ";
  for (const char character : text) {
    result += character;
    if (character == '\n') result += "    ";
  }
  return result;
}

std::string markdown_table(const std::vector<std::pair<std::string, std::string>>& rows) {
  std::string result = "| setting | value |\n|---|---|\n";
  for (const auto& [name, value] : rows)
    result += "| " + markdown_escaped(name) + " | " + markdown_escaped(value) + " |\n";
  return result;
}

}  // namespace shardgrad
