#include "nn/module.h"

#include <unordered_set>

#include "tensor/kernels/random.h"

namespace shardgrad {

std::vector<NamedParameter> Module::named_parameters() const {
  std::vector<NamedParameter> all;
  collect("", all);
  std::unordered_set<const Parameter*> seen;
  std::vector<NamedParameter> unique;
  for (NamedParameter& entry : all) {
    if (seen.insert(entry.parameter.get()).second) unique.push_back(std::move(entry));
  }
  return unique;
}

void Module::collect(const std::string& prefix, std::vector<NamedParameter>& all) const {
  for (const NamedParameter& own : parameters_) all.push_back({prefix + own.name, own.parameter});
  for (const auto& [name, child] : children_) child->collect(prefix + name + ".", all);
}

ParameterPointer Module::register_parameter(std::string name, ShardSpec shard,
                                            Initializer initializer,
                                            const ParameterOptions& options) {
  auto parameter = std::make_shared<Parameter>(std::move(shard), initializer, options);
  parameters_.push_back({std::move(name), parameter});
  return parameter;
}

void Module::register_module(std::string name, const Module& child) {
  children_.emplace_back(std::move(name), &child);
}

void initialize_parameters(const Module& module, std::uint64_t seed) {
  for (const auto& [name, parameter] : module.named_parameters()) {
    Tensor& parameter_value = parameter->variable.mutable_value();
    const Initializer& initializer = parameter->initializer;
    parameter_value.fill(initializer.kind == Initializer::Kind::Ones ? 1.0 : 0.0);
    if (initializer.kind != Initializer::Kind::Normal) continue;
    const RandomStream stream{seed, hash_name(name)};
    // Drawn on the host for any device: the mathematical functions of two processors need not round
    // alike.
    Tensor value = parameter_value.to(Device{});
    const Tensor elements = value.reshape({value.numel()});
    parameter->shard.for_each_run([&](std::int64_t local, std::int64_t global, std::int64_t count) {
      Tensor run = elements.slice(0, local, count);
      kernels::fill_normal(run, stream, global, 0.0, initializer.standard_deviation);
    });
    if (parameter_value.device() != value.device()) parameter_value.copy_from(value);
  }
}

std::int64_t global_parameter_count(const Module& module) {
  std::int64_t count = 0;
  for (const auto& [name, parameter] : module.named_parameters()) {
    count += parameter->shard.global_shape.numel();
  }
  return count;
}

}  // namespace shardgrad
