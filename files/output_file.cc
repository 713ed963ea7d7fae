#include "files/output_file.h"

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "tensor/error.h"

namespace shardgrad {

OutputFile::OutputFile(const std::string& path, const char* mode)
    : path_(path), file_(std::fopen(path.c_str(), mode)) {
  require(file_ != nullptr, "OutputFile", "cannot write {}: {}", path, std::strerror(errno));
}

// The condition comes first: the order in which a call evaluates its arguments is unspecified, and
// `errno` would be read too early.
void OutputFile::append(std::string_view bytes) {
  const bool written = std::fwrite(bytes.data(), 1, bytes.size(), file_.get()) == bytes.size() &&
                       std::fflush(file_.get()) == 0;
  require(written, "OutputFile", "cannot write {}: {}", path_, std::strerror(errno));
}

void write_whole_file(const std::string& path, std::string_view bytes) {
  const std::string partial = path + ".partial";
  std::error_code error;
  try {
    OutputFile(partial, "w").append(bytes);
  } catch (const Error&) {
    std::filesystem::remove(partial, error);
    throw;
  }
  std::filesystem::rename(partial, path, error);
  require(!error, "write_whole_file", "cannot rename {} to {}: {}", partial, path, error.message());
}

}  // namespace shardgrad
