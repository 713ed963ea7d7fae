// Any bytes as a safetensors file: either an Error, or a header of which every tensor lies inside.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "checkpoint/safetensors.h"
#include "checkpoint/stored_dtype.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace shardgrad;
  const std::string_view file(reinterpret_cast<const char*>(data), size);
  try {
    const SafetensorsHeader header = read_safetensors_header(file, "fuzz");
    std::int64_t end = 0;
    for (const StoredTensor& tensor : header.tensors) {
      const bool inside = tensor.offset >= end && tensor.bytes >= 0 &&
                          tensor.offset + tensor.bytes <= static_cast<std::int64_t>(size);
      std::int64_t bytes = stored_bytes(tensor.dtype);
      for (const std::int64_t extent : tensor.shape) bytes *= extent;
      if (!inside || bytes != tensor.bytes) std::abort();
      end = tensor.offset + tensor.bytes;
    }
  } catch (const Error&) {
  }
  return 0;
}
