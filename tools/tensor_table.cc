#include "tools/tensor_table.h"

#include <algorithm>

namespace shardgrad {

std::string with_commas(std::int64_t number) {
  std::string digits = std::to_string(number);
  for (std::ptrdiff_t at = static_cast<std::ptrdiff_t>(digits.size()) - 3; at > 0; at -= 3) {
    digits.insert(static_cast<std::size_t>(at), ",");
  }
  return digits;
}

std::string tensor_table(const TensorFiles& files) {
  std::size_t name = 6, shape = 5, bytes = 5;
  std::int64_t elements = 0, total = 0;
  for (const StoredTensor& tensor : files.tensors()) {
    name = std::max(name, tensor.name.size());
    shape = std::max(shape, to_string(tensor.shape).size());
    elements += tensor.numel();
    total += tensor.bytes;
  }
  bytes = std::max(bytes, with_commas(total).size());
  const auto row = [&](const std::string& a, const std::string& b, const std::string& c,
                       const std::string& d) {
    return fmt::format("{:<{}}  {:<7}  {:<{}}  {:>{}}\n", a, name, b, c, shape, d, bytes);
  };
  std::string text = row("tensor", "dtype", "shape", "bytes"), file;
  std::size_t file_count = 0;
  for (const StoredTensor& tensor : files.tensors()) {
    if (files.file_of(tensor) != file) {
      file = files.file_of(tensor);
      ++file_count;
      text += "-- " + file + "\n";
    }
    text += row(tensor.name, tensor.dtype, to_string(tensor.shape), with_commas(tensor.bytes));
  }
  text += fmt::format("{} tensor{} in {} file{}: {} elements, {} bytes\n", files.tensors().size(),
                      files.tensors().size() == 1 ? "" : "s", file_count,
                      file_count == 1 ? "" : "s", with_commas(elements), with_commas(total));
  return text;
}

}  // namespace shardgrad
