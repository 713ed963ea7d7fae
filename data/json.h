// JSON from files that somebody else has written.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace shardgrad {

/// The value of `text`. @throws Error, with `name` and the offset, where it is not JSON, or nested
/// deeper than anything that is read here.
nlohmann::json parse_json(std::string_view text, const std::string& name);

/// What the library says about malformed JSON, without its own prefix and position.
std::string reason_of(const nlohmann::json::exception& error);

}  // namespace shardgrad
