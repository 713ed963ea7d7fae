#include "files/json.h"

#include <cmath>
#include <set>
#include <vector>

#include "files/mapped_file.h"
#include "tensor/error.h"

namespace shardgrad {
namespace {

constexpr const char* kName = "read_json";

using Json = nlohmann::json;

constexpr std::size_t kDeepest = 64;
constexpr std::size_t kLongestShown = 60;

const Json& value_in(const Json& object, const char* key, const std::string& path) {
  const auto found = object.find(key);
  require(found != object.end(), kName, "{} has no \"{}\"", path, key);
  return *found;
}

}  // namespace

Json parse_json(std::string_view text, const std::string& path, std::int64_t offset) {
  std::vector<std::set<std::string>> keys;  // of the objects and arrays around the current place
  const auto watch = [&](int, Json::parse_event_t event, Json& value) {
    switch (event) {
      case Json::parse_event_t::object_start:
      case Json::parse_event_t::array_start:
        require(keys.size() < kDeepest, kName,
                "{} is nested deeper than {} levels, in the JSON from offset {}", path, kDeepest,
                offset);
        keys.emplace_back();
        break;
      case Json::parse_event_t::object_end:
      case Json::parse_event_t::array_end:
        keys.pop_back();
        break;
      case Json::parse_event_t::key:
        require(keys.back().insert(value.get<std::string>()).second, kName,
                "{} has the key {} twice in an object, in the JSON from offset {}", path,
                shown(value), offset);
        break;
      default:
        break;
    }
    return true;
  };
  try {
    return Json::parse(text.begin(), text.end(), watch);
  } catch (const Json::parse_error& error) {
    // The library counts bytes from 1.
    const auto place = static_cast<std::int64_t>(error.byte > 0 ? error.byte - 1 : 0);
    fail(kName, "{} is not valid JSON at offset {}: {}", path, offset + place, reason_of(error));
  } catch (const Json::exception& error) {  // a number that no double holds
    fail(kName, "{} holds JSON, from offset {}, that cannot be read: {}", path, offset,
         reason_of(error));
  }
}

std::string reason_of(const Json::exception& error) {
  const std::string_view text = error.what();
  for (const std::string_view mark : {"syntax error ", "] "}) {
    const auto at = text.find(mark);
    if (at != std::string_view::npos) return std::string(text.substr(at + mark.size()));
  }
  return std::string(text);
}

Json parse_json_object(std::string_view text, const std::string& path, std::int64_t offset) {
  Json object = parse_json(text, path, offset);
  require(object.is_object(), kName, "{} holds {} at offset {}; expected a JSON object", path,
          shown(object), offset);
  return object;
}

Json read_json_object(const std::string& path) {
  return parse_json_object(MappedFile(path).bytes(), path);
}

std::int64_t integer_in(const Json& object, const char* key, const std::string& path,
                        std::int64_t minimum, std::int64_t maximum) {
  const Json& value = value_in(object, key, path);
  const bool fits = value.is_number_unsigned()
                        ? value.get<std::uint64_t>() <= static_cast<std::uint64_t>(INT64_MAX)
                        : value.is_number_integer();
  const std::int64_t number = fits ? value.get<std::int64_t>() : 0;
  require(fits && number >= minimum && number <= maximum, kName,
          "{} has \"{}\": {}; expected an integer in [{}, {}]", path, key, shown(value), minimum,
          maximum);
  return number;
}

double number_in(const Json& object, const char* key, const std::string& path) {
  const Json& value = value_in(object, key, path);
  require(value.is_number() && std::isfinite(value.get<double>()), kName,
          "{} has \"{}\": {}; expected a number", path, key, shown(value));
  return value.get<double>();
}

bool boolean_in(const Json& object, const char* key, const std::string& path) {
  const Json& value = value_in(object, key, path);
  require(value.is_boolean(), kName, "{} has \"{}\": {}; expected true or false", path, key,
          shown(value));
  return value.get<bool>();
}

std::string string_in(const Json& object, const char* key, const std::string& path) {
  const Json& value = value_in(object, key, path);
  require(value.is_string(), kName, "{} has \"{}\": {}; expected a string", path, key,
          shown(value));
  return value.get<std::string>();
}

bool has(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && !found->is_null();
}

std::string shown(const Json& value) {
  // Invalid UTF-8 is replaced, and everything beyond ASCII escaped: a cut then is no half letter.
  std::string text = value.dump(-1, ' ', true, Json::error_handler_t::replace);
  if (text.size() > kLongestShown) text = text.substr(0, kLongestShown) + "...";
  return text;
}

}  // namespace shardgrad
