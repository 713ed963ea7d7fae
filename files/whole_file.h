// Files that are there whole or not at all.
#pragma once

#include <string>
#include <string_view>

namespace shardgrad {

/// Makes `bytes` the content of the file `path`. They are written under another name first, so that
/// a reader finds the old content or the new one, whole. @throws Error when it cannot be written.
void write_whole_file(const std::string& path, std::string_view bytes);

}  // namespace shardgrad
