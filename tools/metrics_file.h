// The JSON lines of a run that is resumed: metrics.jsonl, samples.jsonl.
#pragma once

#include <cstdint>
#include <string>

namespace shardgrad {

/// The lines of the file `path` that are about steps up to `last_step`: what a run that goes on
/// after that step keeps. A last line that was not finished is dropped. Empty if there is no file.
/// @throws Error naming the line when a finished one is no object with a "step".
std::string lines_up_to(const std::string& path, std::int64_t last_step);

}  // namespace shardgrad
