// A program's options in a TOML file.
#pragma once

#include <CLI/CLI.hpp>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace shardgrad {

/// Adds --config=FILE.
void add_config_option(CLI::App& app);

/// The options of the TOML `text`, that of the file `path`, as a command line has them:
/// "--steps=3". The keys are the names of options of `app`, without the dashes, with the values
/// that these take; tables may group them. Text may be any bytes, as paths may.
/// @throws Error with file and line for what is not TOML, a key that is no option, a value of
/// another kind than an option's, or a line of more than 4096 bytes.
std::vector<std::string> config_words(const CLI::App& app, std::string_view text,
                                      const std::string& path);

/// The command line with the options of the file that its --config names behind the program's name,
/// so that those of the line itself count where both give one.
/// @throws Error as config_words(), and when the file cannot be read.
std::vector<std::string> with_config_file(const CLI::App& app, int argc, const char* const* argv);

/// All options of the parsed `app` as such a file: those given, those with a default, and those in
/// `resolved`, which stand for what else was decided. Not --config, --help and `left_out`.
std::string config_text(const CLI::App& app, const std::map<std::string, std::string>& resolved,
                        const std::vector<std::string>& left_out);

}  // namespace shardgrad
