#include "data/text_files.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>
#include <system_error>

#include "tensor/error.h"

namespace shardgrad {
namespace {

namespace fs = std::filesystem;

constexpr const char* kWhere = "read_text";

/// The entries of one folder whose names have no leading dot, in byte order.
std::vector<std::string> visible_entries(const std::string& folder) {
  std::vector<std::string> entries;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    if (entry->path().filename().native().front() != '.') {
      entries.push_back(entry->path().native());
    }
  }
  require(!error, kWhere, "cannot list folder {}: {}; make it readable for this user", folder,
          error.message());
  std::sort(entries.begin(), entries.end());
  return entries;
}

// Whether the first bytes of a file say that it is no text.
bool is_binary(const std::string& path) {
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  require(file.is_open(), kWhere, "cannot open {}: {}; make it readable for this user", path,
          std::strerror(errno));
  char probe[kProbeBytes];
  file.read(probe, sizeof(probe));
  require(!file.bad(), kWhere, "cannot read {}: {}", path, std::strerror(errno));
  return std::memchr(probe, '\0', static_cast<std::size_t>(file.gcount())) != nullptr;
}

}  // namespace

std::vector<std::string> files_below(const std::string& root) {
  std::vector<std::string> files;
  std::vector<std::string> folders = {root};  // still to be listed
  std::set<std::string> listed;               // without links, so that a loop of links ends
  while (!folders.empty()) {
    const std::string folder = folders.back();
    folders.pop_back();
    std::error_code error;
    const fs::path canonical = fs::canonical(folder, error);
    require(!error, kWhere, "cannot resolve folder {}: {}", folder, error.message());
    if (!listed.insert(canonical.native()).second) continue;
    for (const std::string& entry : visible_entries(folder)) {
      // A link that leads nowhere, a socket or a pipe holds no text; opening one could block.
      const fs::file_status status = fs::status(entry, error);
      require(
          status.type() != fs::file_type::none || error == std::errc::too_many_symbolic_link_levels,
          kWhere, "cannot look at {}: {}; make it readable for this user", entry, error.message());
      if (fs::is_directory(status)) {
        folders.push_back(entry);
      } else if (fs::is_regular_file(status)) {
        files.push_back(entry);
      }
    }
  }
  std::sort(files.begin(), files.end());
  return files;
}

std::vector<TextRange> text_files(const std::string& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  require(status.type() != fs::file_type::not_found, kWhere,
          "{} does not exist; expected a text file or a folder of text files", path);
  require(!error, kWhere, "cannot look at {}: {}", path, error.message());
  const bool folder = fs::is_directory(status);
  require(folder || fs::is_regular_file(status), kWhere,
          "{} is no regular file; expected a text file or a folder of text files", path);
  std::vector<TextRange> texts;
  for (const std::string& file : folder ? files_below(path) : std::vector<std::string>{path}) {
    const auto size = static_cast<std::int64_t>(fs::file_size(file, error));
    require(!error, kWhere, "cannot look at {}: {}", file, error.message());
    const bool binary = is_binary(file);
    require(folder || !binary, kWhere,
            "{} is a binary file (NUL byte in its first {} bytes); expected text", path,
            kProbeBytes);
    require(folder || size > 0, kWhere, "{} is empty; expected text", path);
    if (!binary && size > 0) texts.push_back({file, 0, size});
  }
  require(!texts.empty(), kWhere, "folder {} holds no text; expected at least one text file in it",
          path);
  return texts;
}

bool is_json_lines(const std::string& path) { return fs::path(path).extension() == ".jsonl"; }

}  // namespace shardgrad
