#include "tools/config_file.h"

#include <toml++/toml.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "data/file.h"
#include "data/utf8.h"
#include "tensor/error.h"
#include "tools/program.h"

namespace shardgrad {
namespace {

constexpr const char* kName = "config";

// toml++ 3.3.0 asks whether a character is white space in a way that is undefined for some beyond
// ASCII, such as "é". It gets each byte above 0x7f as the private character U+E080 to U+E0FF, of
// which it is defined, and what it says is translated back. So text need not be UTF-8 either.
constexpr char32_t kPrivate = 0xe000;

std::string to_private(std::string_view text) {
  std::string result;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    byte < 0x80 ? result.push_back(c) : append_utf8(kPrivate + byte, result);
  }
  return result;
}

std::string from_private(std::string_view text) {
  std::string result;
  while (!text.empty()) {
    const std::size_t length = std::max<std::size_t>(utf8_length(text), 1);
    const std::string_view character = text.substr(0, length);
    const char32_t code_point = length == 3 ? utf8_code_point(character) : 0;
    if (code_point >= kPrivate + 0x80 && code_point <= kPrivate + 0xff) {
      result.push_back(static_cast<char>(code_point - kPrivate));
    } else {
      result += character;
    }
    text.remove_prefix(length);
  }
  return result;
}

// A value as the command line has it.
std::string text_of(const toml::node& value, const std::string& path) {
  if (const auto* text = value.as_string()) return from_private(text->get());
  if (const auto* number = value.as_integer()) return std::to_string(number->get());
  if (const auto* number = value.as_floating_point()) return fmt::format("{}", number->get());
  if (const auto* flag = value.as_boolean()) return flag->get() ? "true" : "false";
  fail(kName, "{}:{}: a value is neither text, nor a number, nor true or false", path,
       value.source().begin.line);
}

void collect(const CLI::App& app, const toml::table& table, const std::string& path,
             std::vector<std::string>& words) {
  for (const auto& [key, value] : table) {
    if (const auto* group = value.as_table()) {
      collect(app, *group, path, words);
      continue;
    }
    const std::string name(key.str());
    const CLI::Option* option = app.get_option_no_throw("--" + name);
    require(option != nullptr && name != "config" && name != "help", kName,
            "{}:{}: there is no option '{}'; see --help", path, value.source().begin.line,
            from_private(name));
    const std::string text = text_of(value, path);
    // On a command line, an empty value would be the word that follows.
    require(!text.empty() && text.find('\0') == std::string::npos, kName,
            "{}:{}: the value of '{}' is empty, or has a NUL byte in it", path,
            value.source().begin.line, name);
    words.push_back(fmt::format("--{}={}", name, text));
  }
}

// The parser of TOML calls itself for each part of a key such as a.b.c, and so does what frees the
// tables that it makes. With lines of this length, that needs no more than some MB of the stack.
constexpr std::size_t kLongestLine = 4096;
constexpr std::int64_t kMostFileBytes = 1 << 20;

void require_short_lines(std::string_view text, const std::string& path) {
  int number = 1;
  for (std::size_t start = 0, end; start < text.size(); start = end + 1, ++number) {
    end = std::min(text.find('\n', start), text.size());
    require(end - start <= kLongestLine, kName, "{}:{}: the line has {} bytes; expected at most {}",
            path, number, end - start, kLongestLine);
  }
}

// Whether `text` is a number in JSON, all of which are numbers in TOML, of at most 64 bits.
bool is_number(const std::string& text) {
  const nlohmann::json value = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  const bool too_large = value.is_number_unsigned() &&
                         value.get<std::uint64_t>() > static_cast<std::uint64_t>(INT64_MAX);
  return value.is_number() && !too_large && text.find_first_of(" \t\r\n") == std::string::npos;
}

// The value of an option as TOML has it. What an option takes as text stays text, also "1e5".
std::string toml_text(const CLI::Option& option, const std::string& value) {
  const bool is_text = option.get_type_name().compare(0, 4, "TEXT") == 0;
  if (!is_text && (value == "true" || value == "false" || is_number(value))) return value;
  // A string of JSON is one of TOML, but for this character. JSON, too, wants UTF-8.
  std::string text;
  for (const char c : from_private(nlohmann::json(to_private(value)).dump())) {
    c == '\x7f' ? text += "\\u007f" : text += c;
  }
  return text;
}

}  // namespace

void add_config_option(CLI::App& app) {
  app.add_option(
      "--config",
      "TOML file with options, named as here without the dashes (batch-size = 32); those of "
      "the command line count more. Every run leaves one, OUT/run.toml");
}

std::vector<std::string> config_words(const CLI::App& app, std::string_view text,
                                      const std::string& path) {
  constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
  if (text.substr(0, kByteOrderMark.size()) == kByteOrderMark) {
    text.remove_prefix(kByteOrderMark.size());
  }
  require_short_lines(text, path);
  std::vector<std::string> words;
  try {
    collect(app, toml::parse(to_private(text), path), path, words);
  } catch (const toml::parse_error& error) {
    const toml::source_position place = error.source().begin;
    fail(kName, "{}:{}:{}: {}", path, place.line, place.column, from_private(error.description()));
  }
  return words;
}

std::vector<std::string> with_config_file(const CLI::App& app, int argc, const char* const* argv) {
  std::vector<std::string> words{argv[0]};
  CLI::App scan;
  std::string path;
  scan.set_help_flag();
  scan.allow_extras();
  scan.add_option("--config", path)->take_last();
  try {
    scan.parse(argc, argv);
  } catch (const CLI::ParseError&) {  // is said by who parses all of it
    path.clear();
  }
  if (!path.empty()) {
    const std::string file = user_path(path);
    const std::vector<std::string> options =
        config_words(app, read_file(file, kMostFileBytes), file);
    words.insert(words.end(), options.begin(), options.end());
  }
  words.insert(words.end(), argv + 1, argv + argc);
  return words;
}

std::string config_text(const CLI::App& app, const std::map<std::string, std::string>& resolved,
                        const std::vector<std::string>& left_out) {
  std::string text;
  for (const std::string& group : app.get_groups()) {
    std::string lines;
    for (const CLI::Option* option : app.get_options()) {
      if (option->get_group() != group || option->get_lnames().empty()) continue;
      const std::string name = option->get_lnames().front();
      if (name == "help" || name == "config" ||
          std::find(left_out.begin(), left_out.end(), name) != left_out.end()) {
        continue;
      }
      std::string value;
      const auto decided = resolved.find(name);
      if (decided != resolved.end()) {
        value = decided->second;
      } else if (option->count() > 0) {
        value = option->results().back();
      } else if (!option->get_default_str().empty()) {
        value = option->get_default_str();
      } else {
        continue;
      }
      if (!value.empty()) lines += fmt::format("{} = {}\n", name, toml_text(*option, value));
    }
    if (!lines.empty()) text += fmt::format("{}# {}\n{}", text.empty() ? "" : "\n", group, lines);
  }
  return text;
}

}  // namespace shardgrad
