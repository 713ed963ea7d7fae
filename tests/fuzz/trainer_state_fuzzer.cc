// Any bytes as a trainer_state.json: either an Error, or a state that is written as it was read.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "checkpoint/trainer_state.h"
#include "tensor/error.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace shardgrad;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    const TrainerState state = parse_trainer_state(text, "trainer_state.json");
    const std::string written = to_json_text(state);
    const TrainerState again = parse_trainer_state(written, "again");
    if (to_json_text(again) != written || again.step != state.step ||
        again.arguments != state.arguments || state.skipped_steps > state.step) {
      std::abort();
    }
  } catch (const Error&) {
  }
  return 0;
}
