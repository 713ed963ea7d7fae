#include "checkpoint/trainer_state.h"

#include <algorithm>
#include <limits>

#include "files/json.h"
#include "files/mapped_file.h"
#include "tensor/error.h"

namespace shardgrad {
namespace {

constexpr const char* kName = "checkpoint";

// Of the format of the folder; another number means that files or fields mean something else.
constexpr std::int64_t kVersion = 1;

// Numbers under `key`, which older checkpoints do not have.
std::vector<double> numbers_in(const nlohmann::json& object, const char* key,
                               const std::string& path) {
  std::vector<double> numbers;
  if (!has(object, key)) return numbers;
  const nlohmann::json& list = object[key];
  const bool fits =
      list.is_array() && static_cast<std::int64_t>(list.size()) <= StepHistory::kWindow &&
      std::all_of(list.begin(), list.end(), [](const auto& number) { return number.is_number(); });
  require(fits, kName, "{} has \"{}\" {}; expected a list of at most {} numbers", path, key,
          shown(list), StepHistory::kWindow);
  for (const nlohmann::json& number : list) numbers.push_back(number.get<double>());
  return numbers;
}

}  // namespace

std::string to_json_text(const TrainerState& state) {
  nlohmann::ordered_json json{{"version", kVersion},
                              {"step", state.step},
                              {"adam_steps", state.adam_steps},
                              {"skipped_steps", state.skipped_steps},
                              {"spiked_steps", state.spiked_steps},
                              {"skipped_in_a_row", state.skipped_in_a_row},
                              {"seed", state.seed},
                              {"dtype", state.dtype},
                              {"arguments", state.arguments},
                              {"settings", state.settings}};
  if (!state.history.losses.empty()) {
    json["recent_losses"] = state.history.losses;
    json["recent_gradient_norms"] = state.history.gradient_norms;
  }
  return json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

TrainerState parse_trainer_state(std::string_view text, const std::string& path) {
  const nlohmann::json json = parse_json_object(text, path);
  constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();
  const std::int64_t version = integer_in(json, "version", path, 1, most);
  require(version == kVersion, kName, "{} is of version {} of the format; expected {}", path,
          version, kVersion);
  TrainerState state;
  state.step = integer_in(json, "step", path, 0, most);
  state.adam_steps = integer_in(json, "adam_steps", path, 0, state.step);
  state.skipped_steps = integer_in(json, "skipped_steps", path, 0, state.step);
  if (has(json, "spiked_steps")) {
    state.spiked_steps = integer_in(json, "spiked_steps", path, 0, state.skipped_steps);
  }
  state.history.losses = numbers_in(json, "recent_losses", path);
  state.history.gradient_norms = numbers_in(json, "recent_gradient_norms", path);
  require(state.history.losses.size() == state.history.gradient_norms.size(), kName,
          "{} has {} \"recent_losses\" but {} \"recent_gradient_norms\"; expected as many", path,
          state.history.losses.size(), state.history.gradient_norms.size());
  state.skipped_in_a_row = integer_in(json, "skipped_in_a_row", path, 0, state.skipped_steps);
  state.seed = static_cast<std::uint64_t>(integer_in(json, "seed", path, 0, most));
  state.dtype = string_in(json, "dtype", path);
  require(json.contains("arguments") && json["arguments"].is_array(), kName,
          "{} has no list \"arguments\"", path);
  for (const nlohmann::json& argument : json["arguments"]) {
    require(argument.is_string(), kName, "{} has the argument {}; expected a string", path,
            shown(argument));
    state.arguments.push_back(argument.get<std::string>());
  }
  if (json.contains("settings")) state.settings = json["settings"];
  return state;
}

TrainerState read_trainer_state(const std::string& folder) {
  const std::string path = folder + "/trainer_state.json";
  return parse_trainer_state(MappedFile(path).bytes(), path);
}

}  // namespace shardgrad
