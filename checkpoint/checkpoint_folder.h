// The checkpoints of a run, each a folder "step-000100" beside the others.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace shardgrad {

/// A checkpoint that is complete: its folder gets its name when it is.
struct SavedCheckpoint {
  std::int64_t step = 0;
  std::string path;
};

/// `folder`/step-000100.
std::string checkpoint_path(const std::string& folder, std::int64_t step);

/// Where it is written before it is complete: `folder`/.step-000100.partial.
std::string partial_path(const std::string& folder, std::int64_t step);

/// Those in `folder`, by step; none if there is no such folder.
std::vector<SavedCheckpoint> checkpoints_in(const std::string& folder);

/// The checkpoint that `path` names: its own folder, or that of a run, whose newest it is then.
/// @throws Error when there is none.
std::string find_checkpoint(const std::string& path);

/// Removes what processes that were ended in the middle of something have left in `folder`.
void remove_leftovers(const std::string& folder);

/// Removes all but the newest `count` of `folder`; 0 keeps all.
void keep_newest(const std::string& folder, std::int64_t count);

}  // namespace shardgrad
