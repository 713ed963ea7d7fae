#include "checkpoint/folder.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "tensor/error.h"

namespace shardgrad {
namespace {

constexpr const char* kName = "checkpoint";

namespace fs = std::filesystem;

void rename_folder(const std::string& from, const std::string& to) {
  std::error_code error;
  fs::rename(from, to, error);
  require(!error, kName, "cannot rename {} to {}: {}", from, to, error.message());
}

}  // namespace

void make_folder(const std::string& path) {
  std::error_code error;
  fs::create_directories(path, error);
  require(!error, kName, "cannot make the folder {}: {}", path, error.message());
}

void sync_folder(const std::string& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  int reason = descriptor < 0 ? errno : 0;
  // Some file systems have nothing to wait for here, and say so with EINVAL.
  if (descriptor >= 0 && fsync(descriptor) != 0 && errno != EINVAL) reason = errno;
  if (descriptor >= 0) close(descriptor);
  require(reason == 0, kName, "cannot write the folder {}: {}", path, std::strerror(reason));
}

void publish_folder(const std::string& partial, const std::string& path) {
  std::error_code error;
  require(!fs::exists(fs::symlink_status(path, error)), kName,
          "{} exists; remove it, or choose another name", path);
  sync_folder(partial);
  rename_folder(partial, path);
  const std::string parent = fs::path(path).parent_path().string();
  sync_folder(parent.empty() ? "." : parent);
}

void remove_folder(const std::string& path) {
  std::error_code error;
  const fs::path whole(path);
  if (!fs::exists(fs::symlink_status(whole, error))) return;
  const std::string doomed =
      (whole.parent_path() / ("." + whole.filename().string() + ".removed")).string();
  fs::remove_all(doomed, error);
  rename_folder(path, doomed);
  fs::remove_all(doomed, error);
  require(!error, kName, "cannot remove {}: {}", doomed, error.message());
}

}  // namespace shardgrad
