// Any bytes as a config.json: either an Error, or a model that exists and is written as it was
// read.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "checkpoint/gpt2_format.h"
#include "files/json.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace shardgrad;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    const GPTConfig config = gpt_config_from(parse_json(text, "fuzz"), "fuzz");
    const GPTConfig again = gpt_config_from(
        parse_json(gpt2_config_json(config, DType::Float32).dump(), "again"), "again");
    if (again.d_ff != config.d_ff || again.n_layers != config.n_layers ||
        again.dropout != config.dropout || gpt2_tensors(config).size() < 16) {
      std::abort();
    }
  } catch (const Error&) {
  }
  return 0;
}
