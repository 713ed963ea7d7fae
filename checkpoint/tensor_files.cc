#include "checkpoint/tensor_files.h"

#include <filesystem>
#include <set>

#include "files/json.h"
#include "files/mapped_file.h"

namespace shardgrad {
namespace {

constexpr const char* kName = "safetensors";

namespace fs = std::filesystem;

}  // namespace

std::map<std::string, std::string> parse_weight_map(std::string_view text,
                                                    const std::string& path) {
  const nlohmann::json json = parse_json_object(text, path);
  require(json.contains("weight_map") && json["weight_map"].is_object(), kName,
          "{} has no object \"weight_map\"", path);
  std::map<std::string, std::string> files;
  for (const auto& [tensor, file] : json["weight_map"].items()) {
    // Only a name: the files are beside the index, whatever it says.
    const bool good =
        file.is_string() && !file.get<std::string>().empty() &&
        file.get<std::string>().find_first_of(std::string("/\0", 2)) == std::string::npos;
    require(good, kName, "{} places tensor {} in {}; expected the name of a file beside it", path,
            shown(tensor), shown(file));
    files[tensor] = file.get<std::string>();
  }
  return files;
}

TensorFiles::TensorFiles(const std::string& path) : path_(path) {
  std::error_code error;
  if (!fs::is_directory(path, error)) {
    open(path);
    return;
  }
  const std::string single = path + "/model.safetensors";
  const std::string index = single + ".index.json";
  if (fs::exists(single, error)) {
    open(single);
  } else {
    require(fs::exists(index, error), kName,
            "{} holds neither model.safetensors nor model.safetensors.index.json", path);
    open_index(path, index);
  }
}

void TensorFiles::open(const std::string& path) {
  files_.push_back(std::make_unique<MappedFile>(path));
  SafetensorsHeader header = read_safetensors_header(files_.back()->bytes(), path);
  for (StoredTensor& tensor : header.tensors) {
    const auto [place, added] =
        places_.emplace(tensor.name, Place{tensors_.size(), files_.size() - 1});
    require(added, kName, "tensor {} is in {} and in {}; expected it once", shown(tensor.name),
            files_[place->second.file]->path(), path);
    tensors_.push_back(std::move(tensor));
  }
}

void TensorFiles::open_index(const std::string& folder, const std::string& index) {
  const auto weight_map = parse_weight_map(MappedFile(index).bytes(), index);
  std::set<std::string> names;
  for (const auto& [tensor, file] : weight_map) names.insert(file);
  for (const std::string& name : names) open(folder + "/" + name);
  for (const auto& [tensor, file] : weight_map) {
    const StoredTensor* found = find(tensor);
    const std::string expected = folder + "/" + file;
    require(found != nullptr && file_of(*found) == expected, kName,
            "{} places tensor {} in {}, which does not have it", index, shown(tensor), expected);
  }
  for (const StoredTensor& tensor : tensors_) {
    require(weight_map.count(tensor.name) == 1, kName, "{} does not list tensor {} of {}", index,
            shown(tensor.name), file_of(tensor));
  }
}

const StoredTensor* TensorFiles::find(const std::string& name) const {
  const auto place = places_.find(name);
  return place == places_.end() ? nullptr : &tensors_[place->second.index];
}

const char* TensorFiles::data(const StoredTensor& tensor) const {
  return files_[places_.at(tensor.name).file]->bytes().data() + tensor.offset;
}

const std::string& TensorFiles::file_of(const StoredTensor& tensor) const {
  return files_[places_.at(tensor.name).file]->path();
}

}  // namespace shardgrad
