#include "files/whole_file.h"

#include <filesystem>

#include "files/log_file.h"
#include "tensor/error.h"

namespace shardgrad {

void write_whole_file(const std::string& path, std::string_view bytes) {
  const std::string partial = path + ".partial";
  std::error_code error;
  try {
    LogFile(partial, "w").append(bytes);
  } catch (const Error&) {
    std::filesystem::remove(partial, error);
    throw;
  }
  std::filesystem::rename(partial, path, error);
  require(!error, "write_whole_file", "cannot rename {} to {}: {}", partial, path, error.message());
}

}  // namespace shardgrad
