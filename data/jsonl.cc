#include "data/jsonl.h"

#include <optional>

#include "files/json.h"
#include "tensor/error.h"

namespace shardgrad {
namespace {

using nlohmann::json;

constexpr const char* kWhere = "text_of_json_line";

// Takes one string out of what the parser reports, and keeps nothing else, however deep it is
// nested. The functions return whether to go on.
class TextField : public nlohmann::json_sax<json> {
 public:
  TextField(const std::string& path, std::int64_t offset) : path_(path), offset_(offset) {}

  bool null() override { return other_value("null"); }
  bool boolean(bool) override { return other_value("a boolean"); }
  bool number_integer(number_integer_t) override { return other_value("a number"); }
  bool number_unsigned(number_unsigned_t) override { return other_value("a number"); }
  bool number_float(number_float_t, const string_t&) override { return other_value("a number"); }
  bool binary(binary_t&) override { return other_value("binary"); }
  bool string(string_t& value) override {
    if (depth_ == 1 && is_text_) {
      text_ = std::move(value);
      return true;
    }
    return other_value("a string");
  }
  bool start_object(std::size_t) override {
    if (depth_ > 0) other_value("an object");
    ++depth_;
    return true;
  }
  bool end_object() override { return leave(); }
  bool start_array(std::size_t) override {
    other_value("a list");
    ++depth_;
    return true;
  }
  bool end_array() override { return leave(); }
  bool key(string_t& name) override {
    if (depth_ == 1) is_text_ = name == "text";
    return true;
  }
  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception& error) override {
    fail(kWhere, "{}: the line at offset {} is not JSON at offset {}: {}", path_, offset_,
         offset_ + static_cast<std::int64_t>(position > 0 ? position - 1 : 0), reason_of(error));
  }

  std::string take() {
    require(text_.has_value(), kWhere,
            "{}: the object at offset {} has no \"text\"; expected {{\"text\": \"...\"}}", path_,
            offset_);
    return std::move(*text_);
  }

 private:
  // A value that is no text, wherever it stands.
  bool other_value(const char* kind) {
    require(depth_ > 0, kWhere,
            "{}: the line at offset {} is {}; expected an object with a \"text\"", path_, offset_,
            kind);
    require(depth_ > 1 || !is_text_, kWhere,
            "{}: the \"text\" of the object at offset {} is {}; expected a string", path_, offset_,
            kind);
    return true;
  }

  bool leave() {
    --depth_;
    return true;
  }

  const std::string& path_;
  std::int64_t offset_;
  std::size_t depth_ = 0;
  bool is_text_ = false;  // the last key of the outermost object
  std::optional<std::string> text_;
};

}  // namespace

std::string text_of_json_line(std::string_view line, const std::string& path, std::int64_t offset) {
  TextField field(path, offset);
  json::sax_parse(line.begin(), line.end(), &field);
  return field.take();
}

}  // namespace shardgrad
