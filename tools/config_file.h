// A program's options in a TOML file.
#pragma once

#include <CLI/CLI.hpp>
#include <map>
#include <string>
#include <vector>

namespace shardgrad {

/// Adds --config=FILE.
void add_config_option(CLI::App& app);

/// The command line with the options of the file that its --config names behind the program's name,
/// so that those of the line itself count where both give one. The file's keys are the names of
/// options of `app`, without the dashes, with the values that these take; tables may group them.
/// @throws Error with file and line for what is not TOML, a key that is no option, or a value of
/// another kind than an option's.
std::vector<std::string> with_config_file(const CLI::App& app, int argc, const char* const* argv);

/// All options of the parsed `app` as such a file: those given, those with a default, and those in
/// `resolved`, which stand for what else was decided. Not --config, --help and `left_out`.
std::string config_text(const CLI::App& app, const std::map<std::string, std::string>& resolved,
                        const std::vector<std::string>& left_out);

}  // namespace shardgrad
