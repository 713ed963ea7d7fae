#include "tools/layout_options.h"

#include <algorithm>
#include <map>

#include "parallel/divisors.h"
#include "tools/program.h"

namespace shardgrad {

void add_layout_options(CLI::App& app, TrainingLayout& layout, const std::string& group) {
  layout.data_parallel = 0;
  app.add_option("--tp", layout.tensor_parallel,
                 "Tensor-parallel ranks, which share one copy of the model; the result is the same "
                 "at any number")
      ->check(at_least(1, kMostThreads))
      ->capture_default_str()
      ->group(group);
  app.add_option("--dp", layout.data_parallel,
                 "Data-parallel copies of the model, which share the batch; the result is the same "
                 "(default: under mpirun its ranks / tp, else 1)")
      ->check(at_least(1, kMostThreads))
      ->group(group);
  app.add_flag("--sequence-parallel", layout.sequence_parallel,
               "Slice the tokens between the tensor-parallel layers over the tp ranks, to save "
               "memory")
      ->group(group);
  app.add_option("--recompute", layout.recompute,
                 "What the backward pass computes again to save memory: none, or block, each "
                 "transformer block (default: none)")
      ->transform(CLI::CheckedTransformer(
          std::map<std::string, Recompute>{{"none", Recompute::None}, {"block", Recompute::Block}}))
      ->group(group);
  app.add_option("--zero", layout.zero_stage,
                 "1: share the optimizer's state and the fp32 weights of a bf16 model out over the "
                 "dp ranks")
      ->check(CLI::IsMember({0, 1}))
      ->capture_default_str()
      ->group(group);
  app.add_flag("--overlap,!--no-overlap", layout.overlap,
               "Communicate while computing (default: on); the result is the same")
      ->group(group);
}

int wanted_world_size(const TrainingLayout& layout) {
  return layout.tensor_parallel * std::max(layout.data_parallel, 1);
}

void complete_layout(TrainingLayout& layout, int world_size) {
  const int tp = layout.tensor_parallel;
  require(world_size % tp == 0, "layout",
          "--tp={} does not divide the {} ranks that were started; choose from {}", tp, world_size,
          divisors_of(world_size));
  if (layout.data_parallel == 0) layout.data_parallel = world_size / tp;
  require(layout.world_size() == world_size, "layout",
          "--tp={} x --dp={} are {} ranks, but {} were started; choose --dp={}, or start {}", tp,
          layout.data_parallel, layout.world_size(), world_size, world_size / tp,
          layout.world_size());
}

}  // namespace shardgrad
