#include "nn/optim/adamw.h"

#include "tensor/kernels/adamw.h"

namespace shardgrad {

AdamW::AdamW(FlatParameters& parameters, const AdamWOptions& options)
    : parameters_(parameters),
      options_(options),
      first_moment_(Tensor::zeros_like(parameters.gradients())),
      second_moment_(Tensor::zeros_like(parameters.gradients())) {}

void AdamW::step(double learning_rate, const Tensor& gradient_norm) {
  ++steps_;
  parameters_.complete_gradients();
  Tensor& values = parameters_.values();
  const bool has_master = values.dtype() != first_moment_.dtype();
  if (has_master && !master_.defined()) master_ = values.to(first_moment_.dtype());
  const auto update = [&](std::int64_t start, std::int64_t length, double weight_decay) {
    if (length == 0) return;
    Tensor value = (has_master ? master_ : values).slice(0, start, length);
    Tensor rounded = has_master ? values.slice(0, start, length) : Tensor();
    Tensor first = first_moment_.slice(0, start, length);
    Tensor second = second_moment_.slice(0, start, length);
    kernels::adamw(value, parameters_.gradients().slice(0, start, length), first, second,
                   gradient_norm,
                   {learning_rate, options_.beta1, options_.beta2, options_.epsilon, weight_decay,
                    options_.max_gradient_norm, steps_},
                   rounded);
  };
  const std::int64_t decayed = parameters_.decayed_numel();
  update(0, decayed, options_.weight_decay);
  update(decayed, parameters_.numel() - decayed, 0.0);
}

}  // namespace shardgrad
