// JSON that others wrote: read with care, reported with its place.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace shardgrad {

/// The value that `text` is. `path` and `offset`, where the text stands in that file, are for
/// messages. @throws Error with file and offset for anything that is not JSON, for a key that an
/// object has twice, and for nesting that is deeper than anything here needs.
nlohmann::json parse_json(std::string_view text, const std::string& path, std::int64_t offset = 0);

/// What the library says about malformed JSON, without its own prefix and position.
std::string reason_of(const nlohmann::json::exception& error);

/// As parse_json(), of a text that is an object.
nlohmann::json parse_json_object(std::string_view text, const std::string& path,
                                 std::int64_t offset = 0);

/// The object that the file `path` holds.
nlohmann::json read_json_object(const std::string& path);

/// The integer in [minimum, maximum] that `object` has under `key`; see the next function.
std::int64_t integer_in(const nlohmann::json& object, const char* key, const std::string& path,
                        std::int64_t minimum, std::int64_t maximum);

/// What `object`, an object of the file `path`, has under `key`.
/// @throws Error with file, key and value when it is missing or of another kind.
double number_in(const nlohmann::json& object, const char* key, const std::string& path);
bool boolean_in(const nlohmann::json& object, const char* key, const std::string& path);
std::string string_in(const nlohmann::json& object, const char* key, const std::string& path);

/// Whether `object` has a value other than null under `key`.
bool has(const nlohmann::json& object, const char* key);

/// `value` for a message: cut off if it is long.
std::string shown(const nlohmann::json& value);

}  // namespace shardgrad
