// Files that are written at offsets.
#pragma once

#include <cstdint>
#include <string>

namespace shardgrad {

/// A file that is being written. Several processes may have the same one open, and write different
/// parts of it. Every function throws Error with the path and the system's reason.
class OutputFile {
 public:
  /// Makes `path`, which must not exist, of `bytes` bytes for which the disk has room.
  static OutputFile create(const std::string& path, std::int64_t bytes);
  /// Opens a file that exists.
  static OutputFile open(const std::string& path);

  OutputFile(OutputFile&& other) noexcept;
  OutputFile& operator=(OutputFile&&) = delete;
  ~OutputFile();

  /// Writes all `bytes` at `offset`.
  void write_at(std::int64_t offset, const void* data, std::int64_t bytes);

  /// Returns when what was written is on the disk.
  void sync();

 private:
  OutputFile(std::string path, int descriptor) : path_(std::move(path)), descriptor_(descriptor) {}

  std::string path_;
  int descriptor_;
};

/// Writes `text` into the new file `path`, and waits until it is on the disk.
void write_file(const std::string& path, const std::string& text);

}  // namespace shardgrad
