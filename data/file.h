// Whole files, read or mapped.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace shardgrad {

/// The bytes of a file that is expected to be small. @throws Error when it cannot be read, or has
/// more than `most_bytes`.
std::string read_file(const std::string& path, std::int64_t most_bytes);

/// A file in the address space: its pages are read as they are touched, and the system may drop
/// them again, so that it can be larger than the memory. The file must not be cut while it is
/// mapped: a page that is no longer there ends the program.
class MappedFile {
 public:
  /// @throws Error when it cannot be opened, or is no regular file.
  explicit MappedFile(const std::string& path);

  const std::string& path() const { return path_; }
  std::int64_t size() const { return size_; }
  /// Page-aligned; null for an empty file.
  const unsigned char* data() const { return static_cast<const unsigned char*>(data_.get()); }

 private:
  std::string path_;
  std::int64_t size_ = 0;
  std::shared_ptr<const void> data_;  // unmaps
};

}  // namespace shardgrad
