// What is known of a training run.
#pragma once

#include <array>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "report/curve.h"
#include "report/metric.h"

namespace shardgrad {

/// A text that the model made after a step.
struct SampleText {
  std::int64_t step;
  std::string text;
};

/// The settings, the steps and the samples of one run, as its files have them.
class RunRecord {
 public:
  /// `name`: what the run is called in a report.
  explicit RunRecord(std::string name) : name_(std::move(name)) {}

  const std::string& name() const { return name_; }
  void rename(std::string name) { name_ = std::move(name); }

  /// The fields of config.json as texts, in its order.
  const std::vector<std::pair<std::string, std::string>>& settings() const { return settings_; }

  /// The number that a setting is; 0 if there is no such number.
  double setting(const std::string& name) const;

  /// The values of `metric` after the steps that x counts; NaN where there is none.
  Curve curve(Metric metric) const { return {steps_, values_[index_of(metric)]}; }
  const std::vector<double>& steps() const { return steps_; }
  const std::vector<double>& values(Metric metric) const { return values_[index_of(metric)]; }

  /// In the order of their steps, at most one for each.
  const std::vector<SampleText>& samples() const { return samples_; }

  /// Takes the content of config.json. @throws Error, with `source`, when it is no object.
  void set_settings(const nlohmann::ordered_json& object, const std::string& source);

  /// Takes an object of metrics.jsonl: a "step" and numbers, of which those that are no Metric are
  /// left out. @throws Error, with `source`, when it is none, or does not follow the last step.
  void add_step(const nlohmann::json& object, const std::string& source);

  /// Takes an object of samples.jsonl: {"step": ..., "text": ...}. Of two that are of the same
  /// step, the later one counts. @throws Error, with `source`, when it is none.
  void add_sample(const nlohmann::json& object, const std::string& source);

 private:
  std::string name_;
  std::vector<std::pair<std::string, std::string>> settings_;
  std::vector<double> steps_;
  std::array<std::vector<double>, kMetricCount> values_;
  std::vector<SampleText> samples_;
};

/// What the run in `folder` is called: the last part of its path.
std::string run_name(const std::string& folder);

/// The record in the folder of a run: config.json, metrics.jsonl, and samples.jsonl if there is
/// one. A last line that is not finished is left out: the run may be writing it. @throws Error,
/// with file and line, when one is missing or malformed.
RunRecord read_run_record(const std::string& folder);

}  // namespace shardgrad
