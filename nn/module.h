// Module: a tree of named parameters.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "nn/parameter.h"

namespace shardgrad {

/// What every layer derives from. A layer registers its parameters and its member modules by name
/// in its constructor; the names joined by dots, from the root, identify a parameter everywhere:
/// its random stream, its place in a checkpoint. A module stays where it was made.
class Module {
 public:
  Module(const Module&) = delete;
  Module& operator=(const Module&) = delete;

  /// All parameters of this module and those below it, each once, in the order of registration
  /// (a module's own before its children's). A tied parameter appears under its first name.
  std::vector<NamedParameter> named_parameters() const;

 protected:
  Module() = default;
  ~Module() = default;

  /// Makes a parameter of this module.
  ParameterPointer register_parameter(std::string name, ShardSpec shard, Initializer initializer,
                                      const ParameterOptions& options);

  /// Makes `child`, a member of this module, part of the tree.
  void register_module(std::string name, const Module& child);

 private:
  void collect(const std::string& prefix, std::vector<NamedParameter>& all) const;

  std::vector<NamedParameter> parameters_;
  std::vector<std::pair<std::string, const Module*>> children_;
};

/// Fills every parameter of `module` from its Initializer. A normal draw is a pure function of
/// (seed, the parameter's full name, the element's index in the global tensor): a shard holds
/// exactly its slice of what one rank alone would draw, on any device. Padding is zero.
void initialize_parameters(const Module& module, std::uint64_t seed);

/// The number of elements of all parameters, counted globally (a shard counts as its whole tensor).
std::int64_t global_parameter_count(const Module& module);

}  // namespace shardgrad
