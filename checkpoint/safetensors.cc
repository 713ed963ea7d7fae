#include "checkpoint/safetensors.h"

#include <algorithm>
#include <cstring>

#include "checkpoint/stored_dtype.h"
#include "files/json.h"

namespace shardgrad {
namespace {

constexpr const char* kName = "safetensors";
constexpr std::int64_t kLengthBytes = 8;
// As in the format's reference implementation.
constexpr std::int64_t kLongestHeader = 100'000'000;

using Json = nlohmann::json;

// A tensor's entry in a header; `data` is where the tensors begin.
class EntryReader {
 public:
  EntryReader(const std::string& path, std::int64_t data, std::int64_t file_bytes)
      : path_(path), data_(data), data_bytes_(file_bytes - data) {}

  StoredTensor read(const std::string& name, const Json& entry) const {
    check(
        std::none_of(name.begin(), name.end(), [](unsigned char c) { return c < 32 || c == 127; }),
        name, "has a control character in its name");
    check(entry.is_object(), name, "is {}; expected an object", shown(entry));
    for (const char* key : {"dtype", "shape", "data_offsets"}) {
      check(entry.contains(key), name, "has no \"{}\"", key);
    }
    StoredTensor tensor;
    tensor.name = name;
    const Json& dtype = entry["dtype"];
    check(dtype.is_string() && stored_bytes(dtype.get<std::string>()) > 0, name,
          "has the dtype {}; expected F32, BF16 or another one of the format", shown(dtype));
    tensor.dtype = dtype.get<std::string>();
    tensor.shape = integers(name, "shape", entry["shape"]);
    const std::vector<std::int64_t> offsets = integers(name, "data_offsets", entry["data_offsets"]);
    check(
        offsets.size() == 2 && offsets[0] <= offsets[1] && offsets[1] <= data_bytes_, name,
        "has the data_offsets {}; expected [begin, end] in the {} bytes that follow the header at "
        "offset {}",
        to_string(offsets), data_bytes_, data_);
    std::int64_t bytes = stored_bytes(tensor.dtype);
    bool overflow = false;
    for (const std::int64_t extent : tensor.shape) {
      overflow = __builtin_mul_overflow(bytes, extent, &bytes) || overflow;
    }
    tensor.offset = data_ + offsets[0];
    tensor.bytes = offsets[1] - offsets[0];
    check(!overflow && bytes == tensor.bytes, name,
          "is {} {}, which is not what its {} bytes at offset {} hold", tensor.dtype,
          to_string(tensor.shape), tensor.bytes, tensor.offset);
    return tensor;
  }

 private:
  std::vector<std::int64_t> integers(const std::string& name, const char* key,
                                     const Json& values) const {
    std::vector<std::int64_t> result;
    bool good = values.is_array();
    for (std::size_t i = 0; good && i < values.size(); ++i) {
      good = values[i].is_number_unsigned() &&
             values[i].get<std::uint64_t>() <= static_cast<std::uint64_t>(INT64_MAX);
      if (good) result.push_back(values[i].get<std::int64_t>());
    }
    check(good, name, "has the {} {}; expected integers of at least 0", key, shown(values));
    return result;
  }

  template <class... Args>
  void check(bool condition, const std::string& name, fmt::format_string<Args...> format,
             Args&&... args) const {
    if (condition) return;
    fail(kName, "{}: tensor {} {} (in the header, from offset {})", path_, shown(name),
         fmt::format(format, std::forward<Args>(args)...), kLengthBytes);
  }

  const std::string& path_;
  std::int64_t data_;
  std::int64_t data_bytes_;
};

std::map<std::string, std::string> read_metadata(const Json& value, const std::string& path) {
  std::map<std::string, std::string> metadata;
  require(value.is_object(), kName, "{}: __metadata__ is {}; expected an object", path,
          shown(value));
  for (const auto& [key, text] : value.items()) {
    require(text.is_string(), kName, "{}: __metadata__ has {}: {}; expected a string", path,
            shown(key), shown(text));
    metadata[key] = text.get<std::string>();
  }
  return metadata;
}

// The tensors are in the order of their bytes, which lie from `begin` to the end of the file.
void require_no_gaps(const std::vector<StoredTensor>& tensors, std::int64_t begin,
                     std::int64_t file_bytes, const std::string& path) {
  std::int64_t end = begin;
  for (const StoredTensor& tensor : tensors) {
    require(tensor.offset >= end, kName,
            "{}: tensor {} begins at offset {}, inside another one, which ends at {}", path,
            shown(tensor.name), tensor.offset, end);
    require(tensor.offset <= end, kName,
            "{}: nothing is said of the bytes from offset {} to {}, where tensor {} begins", path,
            end, tensor.offset, shown(tensor.name));
    end += tensor.bytes;
  }
  require(end == file_bytes, kName,
          "{}: the last tensor ends at offset {}, but the file has {} bytes", path, end,
          file_bytes);
}

}  // namespace

std::int64_t StoredTensor::numel() const { return bytes / stored_bytes(dtype); }

std::string to_string(const std::vector<std::int64_t>& shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

const StoredTensor* SafetensorsHeader::find(const std::string& name) const {
  for (const StoredTensor& tensor : tensors) {
    if (tensor.name == name) return &tensor;
  }
  return nullptr;
}

SafetensorsHeader read_safetensors_header(std::string_view file, const std::string& path) {
  const auto file_bytes = static_cast<std::int64_t>(file.size());
  require(file_bytes >= kLengthBytes, kName,
          "{} has {} bytes; expected at least the {} that give the length of the header", path,
          file_bytes, kLengthBytes);
  std::uint64_t length;
  std::memcpy(&length, file.data(), sizeof(length));
  const std::int64_t longest = std::min(file_bytes - kLengthBytes, kLongestHeader);
  require(length <= static_cast<std::uint64_t>(longest), kName,
          "{} says at offset 0 that its header has {} bytes; expected at most {} in a file of {}: "
          "it is cut off, or no safetensors file",
          path, length, longest, file_bytes);
  const std::int64_t data = kLengthBytes + static_cast<std::int64_t>(length);
  const Json header = parse_json(file.substr(kLengthBytes, length), path, kLengthBytes);
  require(header.is_object(), kName, "{} has the header {}; expected a JSON object at offset {}",
          path, shown(header), kLengthBytes);
  SafetensorsHeader result;
  const EntryReader reader(path, data, file_bytes);
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") {
      result.metadata = read_metadata(entry, path);
    } else {
      result.tensors.push_back(reader.read(name, entry));
    }
  }
  std::sort(result.tensors.begin(), result.tensors.end(),
            [](const StoredTensor& a, const StoredTensor& b) {
              // Of several that begin at one place, all but the last are empty.
              return std::tie(a.offset, a.bytes, a.name) < std::tie(b.offset, b.bytes, b.name);
            });
  require_no_gaps(result.tensors, data, file_bytes, path);
  return result;
}

void SafetensorsLayout::add(const std::string& name, const std::string& dtype,
                            const std::vector<std::int64_t>& shape) {
  std::int64_t bytes = stored_bytes(dtype);
  for (const std::int64_t extent : shape) bytes *= extent;
  tensors_.push_back({name, dtype, shape, data_bytes_, bytes});
  data_bytes_ += bytes;
}

std::string SafetensorsLayout::header() const {
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  if (!metadata_.empty()) json["__metadata__"] = metadata_;
  for (const StoredTensor& tensor : tensors_) {
    json[tensor.name] = {{"dtype", tensor.dtype},
                         {"shape", tensor.shape},
                         {"data_offsets", {tensor.offset, tensor.offset + tensor.bytes}}};
  }
  std::string text = json.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  const std::uint64_t length = text.size();
  std::string result(kLengthBytes, '\0');
  std::memcpy(result.data(), &length, sizeof(length));
  return result + text;
}

std::int64_t SafetensorsLayout::file_bytes() const {
  return static_cast<std::int64_t>(header().size()) + data_bytes_;
}

std::vector<StoredTensor> SafetensorsLayout::tensors() const {
  std::vector<StoredTensor> result = tensors_;
  const auto data = static_cast<std::int64_t>(header().size());
  for (StoredTensor& tensor : result) tensor.offset += data;
  return result;
}

}  // namespace shardgrad
