// The safetensors format. Source: https://github.com/huggingface/safetensors, "Format":
// 8 bytes, the length N of the header, little-endian; N bytes of JSON, which gives each tensor's
// dtype, shape and place; then the tensors' bytes, row-major, little-endian, without gaps.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "tensor/shape.h"

namespace shardgrad {

/// A tensor of a file.
struct StoredTensor {
  std::string name;
  std::string dtype;  ///< as safetensors calls it: "F32"
  std::vector<std::int64_t> shape;
  std::int64_t offset = 0;  ///< of its first byte, in the file
  std::int64_t bytes = 0;

  std::int64_t numel() const;
};

/// "[2, 16, 768]".
std::string to_string(const std::vector<std::int64_t>& shape);

/// What the header of a file says.
struct SafetensorsHeader {
  std::vector<StoredTensor> tensors;  ///< in the order of their bytes
  std::map<std::string, std::string> metadata;

  /// Null when there is none of that name.
  const StoredTensor* find(const std::string& name) const;
};

/// Reads and checks the header of a file whose bytes are `file`.
/// @throws Error with `path` and offset unless the file is exactly what the format asks for: every
/// tensor of a known dtype and of a size that is its shape's, inside the file, none overlapping
/// another, none missing a byte.
SafetensorsHeader read_safetensors_header(std::string_view file, const std::string& path);

/// The header of a file that is to be written, and where everything goes.
class SafetensorsLayout {
 public:
  /// Adds a text about the whole file.
  void add_metadata(const std::string& key, const std::string& text) { metadata_[key] = text; }

  /// Adds a tensor behind those before it.
  void add(const std::string& name, const std::string& dtype,
           const std::vector<std::int64_t>& shape);

  /// The first bytes of the file. Its length is such that the tensors begin at a multiple of 8.
  std::string header() const;

  /// Bytes of the whole file.
  std::int64_t file_bytes() const;

  /// In the order in which they were added; offsets are those in the file.
  std::vector<StoredTensor> tensors() const;

 private:
  std::map<std::string, std::string> metadata_;
  std::vector<StoredTensor> tensors_;  // offsets from the first tensor
  std::int64_t data_bytes_ = 0;
};

}  // namespace shardgrad
