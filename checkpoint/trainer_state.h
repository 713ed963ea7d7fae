// Where a training run stands, beside its tensors.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "training/spike_guard.h"

namespace shardgrad {

struct TrainerState {
  std::int64_t step = 0;               ///< steps made
  std::int64_t adam_steps = 0;         ///< of these, those in which the parameters changed
  std::int64_t skipped_steps = 0;      ///< and those in which they did not
  std::int64_t spiked_steps = 0;       ///< of those, the ones that were spikes
  std::int64_t skipped_in_a_row = 0;   ///< at the end
  StepHistory history;                 ///< of a run with a guard against spikes; else empty
  std::uint64_t seed = 0;              ///< of weights, dropout and the order of the data
  std::string dtype;                   ///< of the parameters: "float32"
  std::vector<std::string> arguments;  ///< the command line of the run
  nlohmann::ordered_json settings = nlohmann::ordered_json::object();  ///< what came of it, to read
};

/// The text of a trainer_state.json.
std::string to_json_text(const TrainerState& state);

/// What to_json_text() wrote. `path` is for messages.
/// @throws Error naming file, field and value when it is anything else.
TrainerState parse_trainer_state(std::string_view text, const std::string& path);

/// The same of the file `folder`/trainer_state.json.
TrainerState read_trainer_state(const std::string& folder);

}  // namespace shardgrad
