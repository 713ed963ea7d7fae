// One training step of a GPT, in any layout.
#pragma once

#include <functional>
#include <memory>

#include "model/gpt_model.h"
#include "nn/optim/adamw.h"
#include "parallel/data_parallel.h"
#include "parallel/mesh.h"
#include "training/spike_guard.h"
#include "training/training_layout.h"

namespace shardgrad {

/// Sequences of token ids and the id that follows each position, int32 [B, T] on the host; a target
/// of -100 counts for nothing.
struct MicroBatch {
  Tensor input_ids;
  Tensor targets;
};

/// Sequences [first_sequence, first_sequence + count) of a step's batch, which is the same batch in
/// every layout.
using BatchSource = std::function<MicroBatch(std::int64_t first_sequence, std::int64_t count)>;

/// What determines a training run beside the model, the data and the layout.
struct TrainingSettings {
  AdamWOptions adamw;
  std::uint64_t seed = 0;  ///< of the initial weights and of dropout
  double label_smoothing = 0.0;
};

/// What determines a training step beside the model and the data.
struct TrainingStep {
  std::int64_t step = 0;  ///< counted from 0; each draws other dropout masks
  double learning_rate = 0.0;
  std::int64_t sequences = 1;      ///< of the whole batch, over all ranks and micro-batches
  std::int64_t micro_batches = 1;  ///< that the batch is split into, to save memory
};

/// What came of a step, on every rank alike; on the device, which need not be done. See
/// GPTTraining::numbers().
struct StepOutcome {
  Tensor loss;           ///< float64 [1]: mean over the batch's targets that count
  Tensor gradient_norm;  ///< float64 [1]: of the whole model, before clipping
  StepLimits limits;     ///< those of the step
};

/// The numbers of a step.
struct StepNumbers {
  double loss = 0.0;
  double gradient_norm = 0.0;
  bool skipped = false;  ///< no parameter changed: the gradient was not finite, or it was a spike
  bool spiked = false;   ///< it was finite, but beyond the step's limits
};

/// A model and its optimizer on the ranks of a run, each holding what the layout gives it. The same
/// seed and batches give the same numbers in every layout, up to the order of additions.
class GPTTraining {
 public:
  /// Every rank of `world`, which must outlive it, calls it. Weights are drawn from `seed`.
  /// @throws Error for a layout that does not fit the world or the model.
  GPTTraining(const GPTConfig& config, const TrainingLayout& layout, Communicator& world,
              const ParameterOptions& options, const TrainingSettings& settings);

  /// Computes the gradients of the step's batch, and updates the parameters by them: forward and
  /// backward passes, their sum over the ranks, clipping by the global norm, AdamW. A step whose
  /// gradients are not finite, or whose loss or gradient norm is beyond `limits`, changes
  /// nothing on any rank. Nothing waits for the device.
  /// @throws Error unless dp x micro_batches divides the sequences.
  StepOutcome step(const TrainingStep& step, const BatchSource& batch,
                   const StepLimits& limits = {});

  /// Waits for the step's end. Called once after each step(), before the next.
  StepNumbers numbers(const StepOutcome& outcome);

  /// The mean loss of `sequences` sequences, dropout off. @throws Error unless dp divides them.
  double evaluate(std::int64_t sequences, const BatchSource& batch) const;

  const GPTModel& model() const { return model_; }
  FlatParameters& parameters() { return parameters_; }
  AdamW& optimizer() { return optimizer_; }
  const AdamW& optimizer() const { return optimizer_; }
  const Mesh& mesh() const { return mesh_; }
  const DataParallel& data_parallel() const { return data_parallel_; }

  /// Called at the end of a phase of step(): 0 forward, 1 backward (both of the last micro-batch
  /// alone), 2 the rest. For those who measure.
  void on_phase_end(std::function<void(int)> callback) { on_phase_end_ = std::move(callback); }

  /// What this rank has communicated so far, apart from calls of the world.
  CommunicationStats tensor_parallel_stats() const;
  CommunicationStats data_parallel_stats() const;

 private:
  // The batch's mean loss; its gradients are left in the flat buffer.
  Tensor forward_and_backward(const TrainingStep& step, const BatchSource& batch);

  TrainingSettings settings_;
  Mesh mesh_;
  std::unique_ptr<CommunicationQueue> overlap_;  // of the tensor-parallel group; null: no overlap
  GPTModel model_;
  FlatParameters parameters_;
  DataParallel data_parallel_;
  AdamW optimizer_;
  std::function<void(int)> on_phase_end_;
};

}  // namespace shardgrad
