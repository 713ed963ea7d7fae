#include "report/run_record.h"

#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>

#include "data/file.h"
#include "files/json.h"
#include "tensor/error.h"

namespace shardgrad {
namespace {

constexpr const char* kName = "RunRecord";
constexpr std::int64_t kMostSteps = 1000000000000000;  // whole numbers that a double tells apart
constexpr std::int64_t kMostSettingsBytes = 1024 * 1024;

// Calls add(object, source) with what is in each line.
template <class Add>
void for_each_line(const std::string& path, const Add& add) {
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  require(file.is_open(), kName, "cannot open {}: {}; expected the folder of a run", path,
          std::strerror(errno));
  std::string line;
  for (std::int64_t number = 1; std::getline(file, line) && !file.eof(); ++number) {
    const std::string source = fmt::format("line {} of {}", number, path);
    add(parse_json(line, source), source);
  }
  require(!file.bad(), kName, "cannot read {}: {}", path, std::strerror(errno));
}

std::int64_t step_of(const nlohmann::json& object, const std::string& source) {
  require(object.is_object() && object.contains("step") && object["step"].is_number_integer(),
          kName, "{} is no object with a \"step\" that is a whole number", source);
  const auto step = object["step"].get<std::int64_t>();
  require(step >= 0 && step <= kMostSteps, kName, "{} is of step {}; expected 0 to {}", source,
          step, kMostSteps);
  return step;
}

}  // namespace

double RunRecord::setting(const std::string& name) const {
  for (const auto& [key, value] : settings_) {
    if (key == name) return std::strtod(value.c_str(), nullptr);
  }
  return 0.0;
}

void RunRecord::set_settings(const nlohmann::ordered_json& object, const std::string& source) {
  require(object.is_object(), kName, "{} is no object of settings", source);
  settings_.clear();
  for (const auto& [key, value] : object.items()) {
    std::string text = value.is_number_float() ? fmt::format("{:.6g}", value.get<double>())
                       : value.is_string()     ? value.get<std::string>()
                                               : value.dump();
    settings_.emplace_back(key, std::move(text));
  }
}

void RunRecord::add_step(const nlohmann::json& object, const std::string& source) {
  const auto step = static_cast<double>(step_of(object, source));
  require(steps_.empty() || steps_.back() < step, kName, "{} is of step {}, after one of step {}",
          source, step, steps_.empty() ? 0.0 : steps_.back());
  std::array<double, kMetricCount> numbers;
  for (std::size_t i = 0; i < kMetricCount; ++i) {
    const auto found = object.find(kMetricNames[i].key);
    numbers[i] = std::numeric_limits<double>::quiet_NaN();
    if (found == object.end()) continue;
    require(found->is_number(), kName, "{} has a \"{}\" that is no number", source,
            kMetricNames[i].key);
    numbers[i] = found->get<double>();
  }
  steps_.push_back(step);
  for (std::size_t i = 0; i < kMetricCount; ++i) values_[i].push_back(numbers[i]);
}

void RunRecord::add_sample(const nlohmann::json& object, const std::string& source) {
  const std::int64_t step = step_of(object, source);
  require(object.contains("text") && object["text"].is_string(), kName,
          "{} has no \"text\" that is a string", source);
  require(samples_.empty() || samples_.back().step <= step, kName,
          "{} is of step {}, after one of step {}", source, step,
          samples_.empty() ? 0 : samples_.back().step);
  if (!samples_.empty() && samples_.back().step == step) samples_.pop_back();
  samples_.push_back({step, object["text"].get<std::string>()});
}

std::string run_name(const std::string& folder) {
  const std::filesystem::path path = std::filesystem::absolute(folder).lexically_normal();
  return (path.has_filename() ? path : path.parent_path()).filename().string();
}

RunRecord read_run_record(const std::string& folder) {
  RunRecord record(run_name(folder));
  const std::string config = folder + "/config.json", samples = folder + "/samples.jsonl";
  const std::string text = read_file(config, kMostSettingsBytes);
  parse_json(text, config);  // says what is wrong; the settings are wanted in their order
  record.set_settings(nlohmann::ordered_json::parse(text), config);
  for_each_line(folder + "/metrics.jsonl",
                [&](const auto& object, const auto& source) { record.add_step(object, source); });
  std::error_code error;
  if (std::filesystem::exists(samples, error)) {
    for_each_line(samples, [&](const auto& object, const auto& source) {
      record.add_sample(object, source);
    });
  }
  return record;
}

}  // namespace shardgrad
