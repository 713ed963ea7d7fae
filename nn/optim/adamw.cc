#include "nn/optim/adamw.h"

#include "tensor/kernels/adamw.h"

namespace shardgrad {

AdamW::AdamW(FlatParameters& parameters, const AdamWOptions& options)
    : parameters_(parameters),
      options_(options),
      first_moment_(Tensor::zeros_like(parameters.values())),
      second_moment_(Tensor::zeros_like(parameters.values())) {}

void AdamW::step(double learning_rate, double gradient_scale) {
  ++steps_;
  parameters_.complete_gradients();
  const auto update = [&](std::int64_t start, std::int64_t length, double weight_decay) {
    if (length == 0) return;
    Tensor value = parameters_.values().slice(0, start, length);
    Tensor first = first_moment_.slice(0, start, length);
    Tensor second = second_moment_.slice(0, start, length);
    kernels::adamw(value, parameters_.gradients().slice(0, start, length), first, second,
                   {learning_rate, options_.beta1, options_.beta2, options_.epsilon, weight_decay,
                    gradient_scale, steps_});
  };
  const std::int64_t decayed = parameters_.decayed_numel();
  update(0, decayed, options_.weight_decay);
  update(decayed, parameters_.numel() - decayed, 0.0);
}

}  // namespace shardgrad
