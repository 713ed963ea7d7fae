// Any bytes as the metrics.jsonl of a run that goes on: either an Error, or whole lines of it.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "tensor/error.h"
#include "tools/metrics_file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace shardgrad;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    const std::string kept = lines_up_to(text, "metrics.jsonl", 10);
    if (kept.size() > size || lines_up_to(std::string_view(kept), "again", 10) != kept)
      std::abort();
  } catch (const Error&) {
  }
  return 0;
}
