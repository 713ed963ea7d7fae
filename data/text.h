// Text from disk: one file, or every text file of a folder.
#pragma once

#include <string>

namespace shardgrad {

/// The text at `path`.
///
/// A file is returned as it is. A folder stands for every text file at any depth below it, in the
/// byte order of their paths, with a newline between two files where the first does not end in one:
/// the same bytes on every machine. Left out of a folder are names with a leading dot, and files
/// that are no text (a NUL byte in the first 8 KiB). Links are followed; a folder that can be
/// reached in several ways is read once, so a link to a parent is harmless.
///
/// @throws Error when nothing is at `path`, something cannot be read, a single named file is
/// binary, or there is no text at all.
std::string read_text(const std::string& path);

}  // namespace shardgrad
