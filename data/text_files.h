// Which files a path to text stands for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace shardgrad {

/// Where a NUL byte tells a binary file.
constexpr std::size_t kProbeBytes = 8192;

/// Every regular file at any depth below a folder, in the byte order of the paths. Left out are
/// names with a leading dot. Links are followed; a folder that can be reached in several ways is
/// listed once, so a link to a parent is harmless. @throws Error when something cannot be listed.
std::vector<std::string> files_below(const std::string& folder);

/// Consecutive bytes of a text file.
struct TextRange {
  std::string path;
  std::int64_t begin = 0;
  std::int64_t end = 0;
};

/// The text files that `path` stands for, whole: itself, or those of files_below() that are neither
/// empty nor binary (a NUL byte in the first 8 KiB). @throws Error when there is no text at `path`,
/// or something cannot be read.
std::vector<TextRange> text_files(const std::string& path);

/// Whether a file's name says that each of its lines is a JSON object: it ends in .jsonl.
bool is_json_lines(const std::string& path);

}  // namespace shardgrad
