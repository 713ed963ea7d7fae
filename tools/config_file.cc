#include "tools/config_file.h"

#include <toml++/toml.h>

#include <algorithm>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "tensor/error.h"
#include "tools/program.h"

namespace shardgrad {
namespace {

constexpr const char* kName = "config";

// A value as the command line has it.
std::string text_of(const toml::node& value, const std::string& path) {
  if (const auto* text = value.as_string()) return text->get();
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
            "{}:{}: there is no option '{}'; see --help", path, value.source().begin.line, name);
    words.push_back(fmt::format("--{}={}", name, text_of(value, path)));
  }
}

bool is_number(const std::string& text) {
  char* end = nullptr;
  std::strtod(text.c_str(), &end);
  // TOML writes numbers a little differently than C: those that begin with a digit or a sign are
  // the same.
  return !text.empty() && *end == '\0' &&
         text.find_first_not_of("0123456789+-.e") == std::string::npos && text.front() != '.' &&
         text.back() != '.' && text.front() != 'e';
}

// A value as TOML has it.
std::string toml_text(const std::string& value) {
  if (value == "true" || value == "false" || is_number(value)) return value;
  // A string of JSON is one of TOML.
  return nlohmann::json(value).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace

void add_config_option(CLI::App& app) {
  app.add_option(
      "--config",
      "TOML file with options, named as here without the dashes (batch-size = 32); those of "
      "the command line count more. Every run leaves one, OUT/run.toml");
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
    try {
      collect(app, toml::parse_file(file), file, words);
    } catch (const toml::parse_error& error) {
      const toml::source_position place = error.source().begin;
      if (place.line == 0) fail(kName, "cannot read {}: {}", file, error.description());
      fail(kName, "{}:{}:{}: {}", file, place.line, place.column, error.description());
    }
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
      lines += fmt::format("{} = {}\n", name, toml_text(value));
    }
    if (!lines.empty()) text += fmt::format("{}# {}\n{}", text.empty() ? "" : "\n", group, lines);
  }
  return text;
}

}  // namespace shardgrad
