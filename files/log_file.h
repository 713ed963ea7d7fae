// Files that grow while others read them.
#pragma once

#include <cstdio>
#include <memory>
#include <string>
#include <string_view>

namespace shardgrad {

/// A file that grows while others read it.
class LogFile {
 public:
  /// `mode`: as of std::fopen(): "w" to begin anew, "a" to go on at the end, "wx" if there must be
  /// no file of this name. @throws Error with the path and the system's reason when it cannot be
  /// opened.
  LogFile(const std::string& path, const char* mode);

  const std::string& path() const { return path_; }

  /// Writes `bytes` behind what there is; they are with the system when this returns.
  /// @throws Error likewise, on a full disk for example.
  void append(std::string_view bytes);

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  std::string path_;
  std::unique_ptr<std::FILE, Close> file_;
};

}  // namespace shardgrad
