#include "data/json.h"

#include "tensor/error.h"

namespace shardgrad {

constexpr int kDeepest = 64;

std::string reason_of(const nlohmann::json::exception& error) {
  const std::string text = error.what();
  for (const char* mark : {"syntax error ", "] "}) {
    const auto at = text.find(mark);
    if (at != std::string::npos) return text.substr(at + std::string_view(mark).size());
  }
  return text;
}

nlohmann::json parse_json(std::string_view text, const std::string& name) {
  using json = nlohmann::json;
  const auto check_depth = [&](int depth, json::parse_event_t, const json&) {
    require(depth <= kDeepest, "parse_json", "{} is nested deeper than {} levels", name, kDeepest);
    return true;
  };
  try {
    return json::parse(text.begin(), text.end(), check_depth);
  } catch (const json::parse_error& error) {
    fail("parse_json", "{} is not JSON at offset {}: {}", name, error.byte, reason_of(error));
  }
}

}  // namespace shardgrad
