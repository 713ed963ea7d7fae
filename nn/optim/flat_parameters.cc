#include "nn/optim/flat_parameters.h"

#include <algorithm>

#include "tensor/round_up.h"

namespace shardgrad {
namespace {

bool is_decayed(const NamedParameter& entry) {
  return entry.parameter->variable.shape().rank() > 1;
}

// The elements that a parameter takes up: whole cache lines.
std::int64_t padded_numel(const NamedParameter& entry) {
  const Tensor& value = entry.parameter->variable.value();
  const std::int64_t line = 64 / static_cast<std::int64_t>(size_of(value.dtype()));
  return round_up(value.numel(), line);
}

// Where a parameter stands among the others.
int place_of(const NamedParameter& entry) {
  return (is_decayed(entry) ? 0 : 2) + (entry.parameter->partial_gradient ? 0 : 1);
}

}  // namespace

FlatParameters::FlatParameters(std::vector<NamedParameter> parameters, std::int64_t region_multiple)
    : parameters_(std::move(parameters)) {
  require(!parameters_.empty(), "FlatParameters", "there are no parameters");
  std::stable_sort(
      parameters_.begin(), parameters_.end(),
      [](const NamedParameter& a, const NamedParameter& b) { return place_of(a) < place_of(b); });
  std::int64_t total = 0;
  for (const bool decayed : {true, false}) {
    for (const NamedParameter& entry : parameters_) {
      if (is_decayed(entry) != decayed) continue;
      ranges_.push_back({total, total + padded_numel(entry)});
      total = ranges_.back().end;
    }
    total = round_up(total, region_multiple);
    if (decayed) decayed_numel_ = total;
  }
  const Tensor& first = parameters_.front().parameter->variable.value();
  values_ = Tensor::zeros({total}, first.dtype(), first.device());
  gradients_ = Tensor::zeros({total}, accumulation_dtype(first.dtype()), first.device());
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    const NamedParameter& entry = parameters_[i];
    Variable& variable = entry.parameter->variable;
    require(
        variable.value().dtype() == first.dtype() && variable.value().device() == first.device(),
        "FlatParameters", "{} is {} on {}; expected {} on {} as for {}", entry.name,
        name_of(variable.value().dtype()), variable.value().device().to_string(),
        name_of(first.dtype()), first.device().to_string(), parameters_.front().name);
    Tensor value = values_.slice(0, offset(i), variable.value().numel()).reshape(variable.shape());
    value.copy_from(variable.value());
    gradient_views_.push_back(
        gradients_.slice(0, offset(i), value.numel()).reshape(variable.shape()));
    variable.mutable_value() = std::move(value);
    variable.set_gradient_buffer(gradient_views_.back());
  }
}

void FlatParameters::clear_gradients() {
  for (const NamedParameter& entry : parameters_) entry.parameter->variable.clear_gradient();
}

void FlatParameters::complete_gradients() {
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    if (!parameters_[i].parameter->variable.gradient().defined()) gradient_views_[i].fill(0.0);
  }
}

}  // namespace shardgrad
