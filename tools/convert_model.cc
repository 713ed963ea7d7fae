#include "tools/convert_model.h"

#include <filesystem>
#include <map>
#include <vector>

#include "checkpoint/companion_files.h"
#include "checkpoint/file.h"
#include "checkpoint/folder.h"
#include "checkpoint/gpt2_format.h"
#include "checkpoint/stored_dtype.h"
#include "files/json.h"
#include "tools/tensor_table.h"

namespace shardgrad {
namespace {

namespace fs = std::filesystem;

// The tensors of one of the files to be written: where from, and as what.
using Group = std::vector<std::pair<const StoredTensor*, StoredTensor>>;

std::vector<Group> grouped_tensors(const Gpt2Folder& model, const ConvertOptions& options) {
  std::vector<Group> groups(1);
  std::int64_t bytes = 0;
  for (const Gpt2Tensor& tensor : gpt2_tensors(model.config())) {
    const StoredTensor& source = model.stored(tensor);
    StoredTensor target = source;
    target.name = tensor.name;
    if (!options.dtype.empty()) target.dtype = options.dtype;
    target.bytes = source.numel() * stored_bytes(target.dtype);
    if (options.max_file_bytes > 0 && bytes > 0 && bytes + target.bytes > options.max_file_bytes) {
      groups.emplace_back();
      bytes = 0;
    }
    bytes += target.bytes;
    groups.back().emplace_back(&source, target);
  }
  return groups;
}

void write_group(const TensorFiles& files, const Group& group, const std::string& path) {
  SafetensorsLayout layout;
  layout.add_metadata("format", "pt");
  for (const auto& [source, target] : group) layout.add(target.name, target.dtype, target.shape);
  OutputFile file = OutputFile::create(path, layout.file_bytes());
  const std::string header = layout.header();
  file.write_at(0, header.data(), static_cast<std::int64_t>(header.size()));
  const std::vector<StoredTensor> places = layout.tensors();
  for (std::size_t i = 0; i < group.size(); ++i) {
    const StoredTensor& source = *group[i].first;
    std::vector<char> elements(static_cast<std::size_t>(places[i].bytes));
    convert_elements(files.data(source), source.dtype, elements.data(), places[i].dtype,
                     source.numel());
    file.write_at(places[i].offset, elements.data(), places[i].bytes);
  }
  file.sync();
}

std::string file_name(std::size_t index, std::size_t count) {
  return count == 1 ? "model.safetensors"
                    : fmt::format("model-{:05}-of-{:05}.safetensors", index + 1, count);
}

nlohmann::ordered_json index_of(const std::vector<Group>& groups, std::int64_t total) {
  nlohmann::ordered_json map = nlohmann::ordered_json::object();
  for (std::size_t i = 0; i < groups.size(); ++i) {
    for (const auto& entry : groups[i]) map[entry.second.name] = file_name(i, groups.size());
  }
  return {{"metadata", {{"total_size", total}}}, {"weight_map", map}};
}

// As in the input, whose other fields may matter to others, but for the dtype.
void write_config(const std::string& input, const std::string& out, const std::string& dtype) {
  nlohmann::json config = read_json_object(input + "/config.json");
  static const std::map<std::string, std::string> names{
      {"F32", "float32"}, {"F16", "float16"}, {"BF16", "bfloat16"}, {"F64", "float64"}};
  config.erase("dtype");
  config["torch_dtype"] = names.at(dtype);
  write_file(out + "/config.json", config.dump(2) + "\n");
}

void fill_folder(const std::string& input, const Gpt2Folder& model,
                 const std::vector<Group>& groups, std::int64_t total, const std::string& folder) {
  for (std::size_t i = 0; i < groups.size(); ++i) {
    write_group(model.files(), groups[i], folder + "/" + file_name(i, groups.size()));
  }
  if (groups.size() > 1) {
    write_file(folder + "/model.safetensors.index.json", index_of(groups, total).dump(2) + "\n");
  }
  write_config(input, folder, groups.front().front().second.dtype);
  write_companion_files(companion_files(input), folder);
}

}  // namespace

std::string convert_model(const std::string& input, const ConvertOptions& options) {
  std::error_code error;
  require(fs::is_directory(input, error), "convert",
          "{} is no folder; expected one with a config.json and a model.safetensors", input);
  require(!fs::exists(options.out, error), "convert",
          "{} exists; remove it, or choose another --out", options.out);
  const Gpt2Folder model(input);
  const std::vector<Group> groups = grouped_tensors(model, options);
  std::int64_t total = 0, tensors = 0;
  for (const Group& group : groups) {
    for (const auto& entry : group) {
      total += entry.second.bytes;
      ++tensors;
    }
  }
  const fs::path out = fs::path(options.out).lexically_normal();
  const std::string name = out.has_filename() ? out.string() : out.parent_path().string();
  const std::string partial = name + ".partial";
  fs::remove_all(partial, error);
  make_folder(partial);
  try {
    fill_folder(input, model, groups, total, partial);
    publish_folder(partial, name);
  } catch (...) {
    fs::remove_all(partial, error);
    throw;
  }
  return fmt::format("wrote {}: {} tensors, {} bytes in {} file{}", options.out, tensors,
                     with_commas(total), groups.size(), groups.size() == 1 ? "" : "s");
}

}  // namespace shardgrad
