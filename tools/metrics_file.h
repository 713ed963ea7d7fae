// The JSON lines of a run that is resumed: metrics.jsonl, samples.jsonl.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace shardgrad {

/// The lines of `text`, that of the file `path`, which are about steps up to `last_step`: what a
/// run that goes on after that step keeps. A last line that was not finished is dropped.
/// @throws Error naming file and offset when a finished one is no JSON object with a "step".
std::string lines_up_to(std::string_view text, const std::string& path, std::int64_t last_step);

/// The same of the file `path`; empty if there is none.
std::string lines_up_to(const std::string& path, std::int64_t last_step);

}  // namespace shardgrad
