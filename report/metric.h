// The numbers of a training step, and their names.
#pragma once

#include <array>
#include <cstddef>

namespace shardgrad {

/// What is recorded of a step.
enum class Metric {
  Loss,                   ///< of the step's batch, nats per token
  ValidationLoss,         ///< of held-out data, nats per token; of some steps only
  LearningRate,           ///< of the step
  GradientNorm,           ///< global, before clipping
  TokensPerSecond,        ///< of the step, all ranks together
  ModelFlopsUtilization,  ///< share of the measured rate of matrix products, 0 to 1
  SkippedSteps,           ///< so far; not recorded before there is one
  SpikedSteps,            ///< of those, the ones whose loss or gradient was a spike
};

constexpr std::size_t kMetricCount = 8;

/// The names of a metric.
struct MetricNames {
  const char* key;  ///< in the objects of metrics.jsonl
  const char* tag;  ///< in TensorBoard
};

/// Those of all metrics, in the order of the enumeration.
constexpr std::array<MetricNames, kMetricCount> kMetricNames{{
    {"loss", "loss/train"},
    {"val_loss", "loss/validation"},
    {"lr", "learning_rate"},
    {"grad_norm", "gradient_norm"},
    {"tokens_per_second", "tokens_per_second"},
    {"mfu", "model_flops_utilization"},
    {"skipped_steps", "skipped_steps"},
    {"spiked_steps", "spiked_steps"},
}};

constexpr std::size_t index_of(Metric metric) { return static_cast<std::size_t>(metric); }
constexpr const MetricNames& names_of(Metric metric) { return kMetricNames[index_of(metric)]; }

}  // namespace shardgrad
