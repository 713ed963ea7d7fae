// Folders that are there whole or not at all.
#pragma once

#include <string>

namespace shardgrad {

/// Makes the folder `path` and those above it. @throws Error with the system's reason.
void make_folder(const std::string& path);

/// Returns when the names of the files in the folder `path` are on the disk.
void sync_folder(const std::string& path);

/// Gives the folder `partial`, whose files are on the disk, its final name `path` beside it: after
/// a crash at any moment there is either. @throws Error when `path` exists.
void publish_folder(const std::string& partial, const std::string& path);

/// Removes the folder `path` and what is in it; in between it has another name, beginning with a
/// dot, so that half of it is never taken for the whole. Nothing to do when there is none.
void remove_folder(const std::string& path);

}  // namespace shardgrad
