#include "nn/optim/adamw.h"

#include <utility>

#include "tensor/kernels/adamw.h"

namespace shardgrad {

namespace {

// A moment of the `owned` elements.
Tensor zero_state(const Tensor& gradients, const std::vector<FlatRange>& owned) {
  std::int64_t count = 0;
  for (const FlatRange& range : owned) count += range.length();
  return Tensor::zeros({count}, gradients.dtype(), gradients.device());
}

}  // namespace

AdamW::AdamW(FlatParameters& parameters, const AdamWOptions& options)
    : AdamW(parameters, options, {{0, parameters.numel()}}) {}

AdamW::AdamW(FlatParameters& parameters, const AdamWOptions& options, std::vector<FlatRange> owned)
    : parameters_(parameters),
      options_(options),
      owned_(std::move(owned)),
      first_moment_(zero_state(parameters.gradients(), owned_)),
      second_moment_(Tensor::zeros_like(first_moment_)) {}

Tensor& AdamW::master() {
  require(has_master(), "AdamW", "parameters of {} have no masters; only those of bfloat16 have",
          name_of(parameters_.values().dtype()));
  if (master_.defined()) return master_;
  master_ = Tensor::empty_like(first_moment_);
  std::int64_t begin = 0;
  for (const FlatRange& range : owned_) {
    if (range.length() == 0) continue;
    const Tensor values = parameters_.values().slice(0, range.begin, range.length());
    master_.slice(0, begin, range.length()).copy_from(values);
    begin += range.length();
  }
  return master_;
}

void AdamW::step(double learning_rate, const Tensor& gradient_norm) {
  ++steps_;
  parameters_.complete_gradients();
  Tensor& values = parameters_.values();
  if (has_master()) master();
  std::int64_t state_begin = 0;
  const auto update = [&](const FlatRange& range, double weight_decay) {
    if (range.length() == 0) return;
    const std::int64_t length = range.length();
    Tensor value = values.slice(0, range.begin, length);
    Tensor rounded;
    if (has_master()) {
      rounded = value;
      value = master_.slice(0, state_begin, length);
    }
    Tensor first = first_moment_.slice(0, state_begin, length);
    Tensor second = second_moment_.slice(0, state_begin, length);
    kernels::adamw(value, parameters_.gradients().slice(0, range.begin, length), first, second,
                   gradient_norm,
                   {learning_rate, options_.beta1, options_.beta2, options_.epsilon, weight_decay,
                    options_.max_gradient_norm, steps_},
                   rounded);
    state_begin += length;
  };
  const std::int64_t decayed = parameters_.decayed_numel();
  for (const FlatRange& range : owned_) {
    update(range.intersection({0, decayed}), options_.weight_decay);
    update(range.intersection({decayed, parameters_.numel()}), 0.0);
  }
}

}  // namespace shardgrad
