// The small files beside a model: its tokenizer, and how to generate with it.
#pragma once

#include <map>
#include <string>

namespace shardgrad {

/// Contents by file name.
using CompanionFiles = std::map<std::string, std::string>;

/// Those of Hugging Face's files of a tokenizer, and its generation_config.json, that are in the
/// folder `path`; of a file `path`, that file as the tokenizer.json. @throws Error when one cannot
/// be read.
CompanionFiles companion_files(const std::string& path);

/// Writes each into `folder`, and waits until it is on the disk.
void write_companion_files(const CompanionFiles& files, const std::string& folder);

}  // namespace shardgrad
