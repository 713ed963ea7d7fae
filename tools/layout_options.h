// The part of a command line that says how a run is spread over its ranks.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "training/training_layout.h"

namespace shardgrad {

/// Adds --tp, --dp, --sequence-parallel, --recompute, --zero and --no-overlap. The layout's
/// data_parallel is 0 until complete_layout(), unless --dp is given.
void add_layout_options(CLI::App& app, TrainingLayout& layout, const std::string& group);

/// The ranks that a layout asks for when they may be started at will.
int wanted_world_size(const TrainingLayout& layout);

/// Sets the data-parallel size for `world_size` ranks, unless it was given.
/// @throws Error when the ranks do not divide like that.
void complete_layout(TrainingLayout& layout, int world_size);

}  // namespace shardgrad
