// JSON lines: a document in each.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace shardgrad {

/// The string "text" of the JSON object in `line`; its other fields are skipped. `path` and
/// `offset`, where the line begins in the file, are for errors. @throws Error when the line is not
/// JSON, no object, or has no string of that name.
std::string text_of_json_line(std::string_view line, const std::string& path, std::int64_t offset);

}  // namespace shardgrad
