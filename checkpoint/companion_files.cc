#include "checkpoint/companion_files.h"

#include <filesystem>

#include "checkpoint/file.h"
#include "files/mapped_file.h"

namespace shardgrad {
namespace {

constexpr const char* kNames[] = {
    "added_tokens.json", "generation_config.json", "merges.txt", "special_tokens_map.json",
    "tokenizer.json",    "tokenizer_config.json",  "vocab.json"};

}  // namespace

CompanionFiles companion_files(const std::string& path) {
  CompanionFiles files;
  std::error_code ignored;
  if (std::filesystem::is_regular_file(path, ignored)) {
    files["tokenizer.json"] = MappedFile(path).bytes();
    return files;
  }
  for (const char* name : kNames) {
    const std::string file = path + "/" + name;
    std::error_code error;
    if (std::filesystem::exists(file, error)) files[name] = MappedFile(file).bytes();
  }
  return files;
}

void write_companion_files(const CompanionFiles& files, const std::string& folder) {
  for (const auto& [name, text] : files) write_file(folder + "/" + name, text);
}

}  // namespace shardgrad
