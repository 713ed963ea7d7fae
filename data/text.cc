#include "data/text.h"

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <vector>

#include "data/text_files.h"
#include "tensor/error.h"

namespace shardgrad {
namespace {

namespace fs = std::filesystem;

constexpr const char* kWhere = "read_text";
constexpr std::size_t kReadBytes = 1024 * 1024;

/// Appends the file's content to `text`. False, with `text` unchanged, for a binary file.
bool append_file(const std::string& path, std::string& text) {
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  require(file.is_open(), kWhere, "cannot open {}: {}; make it readable for this user", path,
          std::strerror(errno));
  const std::size_t start = text.size();
  for (std::size_t chunk = kProbeBytes; file; chunk = kReadBytes) {
    const std::size_t end = text.size();
    text.resize(end + chunk);
    file.read(&text[end], static_cast<std::streamsize>(chunk));
    text.resize(end + static_cast<std::size_t>(file.gcount()));
    require(!file.bad(), kWhere, "cannot read {}: {}", path, std::strerror(errno));
    if (chunk != kProbeBytes) continue;
    if (std::memchr(text.data() + end, '\0', text.size() - end) != nullptr) {
      text.resize(start);
      return false;
    }
    std::error_code no_size;  // a pipe has none: the text then grows as it comes
    const std::uintmax_t size = fs::file_size(path, no_size);
    if (!no_size) text.reserve(start + size + kReadBytes);  // with room for the last, empty read
  }
  return true;
}

std::string read_folder(const std::string& root) {
  const std::vector<std::string> files = files_below(root);
  std::string text;
  for (const std::string& file : files) {
    const std::size_t start = text.size();
    const bool newline = start > 0 && text.back() != '\n';
    if (newline) text += '\n';
    const std::size_t begin = text.size();
    append_file(file, text);
    if (text.size() == begin) text.resize(start);  // binary or empty: as if it were not there
  }
  require(!text.empty(), kWhere,
          "folder {} holds no text ({}); expected at least one text file in it", root,
          files.empty()
              ? "no visible files"
              : fmt::format("{} visible files, all of them binary or empty", files.size()));
  return text;
}

}  // namespace

std::string read_text(const std::string& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  require(status.type() != fs::file_type::not_found, kWhere,
          "{} does not exist; expected a text file or a folder of text files", path);
  require(!error, kWhere, "cannot look at {}: {}", path, error.message());
  if (fs::is_directory(status)) return read_folder(path);

  std::string text;
  require(append_file(path, text), kWhere,
          "{} is a binary file (NUL byte in its first {} bytes); expected text", path, kProbeBytes);
  require(!text.empty(), kWhere, "{} is empty; expected text", path);
  return text;
}

}  // namespace shardgrad
