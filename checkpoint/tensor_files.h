// The tensors of a model's folder, in however many files.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/file.h"
#include "checkpoint/safetensors.h"
#include "files/mapped_file.h"

namespace shardgrad {

/// Which file each tensor is in: the "weight_map" of a model.safetensors.index.json. `path` is for
/// messages. @throws Error unless it is an object of names of files, each without a folder.
std::map<std::string, std::string> parse_weight_map(std::string_view text, const std::string& path);

/// The tensors of a .safetensors file, or of a folder with a model.safetensors or, in several
/// files, a model.safetensors.index.json; memory-mapped, so that opening it reads headers only.
class TensorFiles {
 public:
  /// `path`: the file or the folder.
  /// @throws Error naming file and offset when one is missing or malformed, when a tensor stands in
  /// two files, or when the index and the files disagree.
  explicit TensorFiles(const std::string& path);

  const std::string& path() const { return path_; }

  /// By file, and in a file in the order of their bytes.
  const std::vector<StoredTensor>& tensors() const { return tensors_; }

  /// Null when there is none of that name.
  const StoredTensor* find(const std::string& name) const;

  /// The first byte of a tensor of tensors().
  const char* data(const StoredTensor& tensor) const;

  /// The name of the file that it is in.
  const std::string& file_of(const StoredTensor& tensor) const;

 private:
  struct Place {
    std::size_t index;  // in tensors_
    std::size_t file;
  };

  void open(const std::string& path);
  void open_index(const std::string& folder, const std::string& index);

  std::string path_;
  std::vector<std::unique_ptr<MappedFile>> files_;
  std::vector<StoredTensor> tensors_;
  std::map<std::string, Place> places_;
};

}  // namespace shardgrad
