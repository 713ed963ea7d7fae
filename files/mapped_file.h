// A whole file as read-only memory.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace shardgrad {

/// A file in the address space: its pages are read as they are touched, and the system may drop
/// them again, so that it can be larger than the memory. Copies share the mapping. The file must
/// not be cut while it is mapped: a page that is no longer there ends the program.
class MappedFile {
 public:
  /// @throws Error with the path and the system's reason when it cannot be read, or is no regular
  /// file.
  explicit MappedFile(const std::string& path);

  const std::string& path() const { return path_; }
  std::int64_t size() const { return size_; }
  /// Page-aligned; null for an empty file.
  const unsigned char* data() const { return static_cast<const unsigned char*>(data_.get()); }
  std::string_view bytes() const {
    return {static_cast<const char*>(data_.get()), static_cast<std::size_t>(size_)};
  }

 private:
  std::string path_;
  std::int64_t size_ = 0;
  std::shared_ptr<const void> data_;  // unmaps
};

}  // namespace shardgrad
