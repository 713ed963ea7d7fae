// Any bytes as a model.safetensors.index.json: either an Error, or names of files in its folder.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "checkpoint/tensor_files.h"
#include "tensor/error.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace shardgrad;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    for (const auto& [tensor, file] : parse_weight_map(text, "model.safetensors.index.json")) {
      if (file.empty() || file.find('/') != std::string::npos || file.size() > size) std::abort();
    }
  } catch (const Error&) {
  }
  return 0;
}
