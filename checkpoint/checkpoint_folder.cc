#include "checkpoint/checkpoint_folder.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "checkpoint/folder.h"
#include "tensor/error.h"

namespace shardgrad {
namespace {

constexpr const char* kName = "checkpoint";

namespace fs = std::filesystem;

std::string name_of_step(std::int64_t step) { return fmt::format("step-{:06}", step); }

// The step that a folder's name tells, -1 if it tells none.
std::int64_t step_of(const std::string& name) {
  const std::string prefix = "step-";
  if (name.compare(0, prefix.size(), prefix) != 0 || name.size() > prefix.size() + 18) return -1;
  const std::string digits = name.substr(prefix.size());
  if (digits.find_first_not_of("0123456789") != std::string::npos) return -1;
  const std::int64_t step = std::strtoll(digits.c_str(), nullptr, 10);
  return name_of_step(step) == name ? step : -1;
}

template <class Body>
void for_each_name(const std::string& folder, const Body& body) {
  std::error_code error;
  if (!fs::is_directory(folder, error)) return;
  for (auto it = fs::directory_iterator(folder, error); !error && it != fs::end(it);
       it.increment(error)) {
    body(it->path().filename().string());
  }
  require(!error, kName, "cannot list {}: {}", folder, error.message());
}

}  // namespace

std::string checkpoint_path(const std::string& folder, std::int64_t step) {
  return folder + "/" + name_of_step(step);
}

std::string partial_path(const std::string& folder, std::int64_t step) {
  return folder + "/." + name_of_step(step) + ".partial";
}

std::vector<SavedCheckpoint> checkpoints_in(const std::string& folder) {
  std::vector<SavedCheckpoint> found;
  for_each_name(folder, [&](const std::string& name) {
    const std::int64_t step = step_of(name);
    if (step >= 0) found.push_back({step, folder + "/" + name});
  });
  std::sort(found.begin(), found.end(),
            [](const SavedCheckpoint& a, const SavedCheckpoint& b) { return a.step < b.step; });
  return found;
}

std::string find_checkpoint(const std::string& path) {
  std::error_code error;
  if (fs::exists(path + "/trainer_state.json", error)) return path;
  for (const std::string& folder : {path + "/checkpoints", path}) {
    const std::vector<SavedCheckpoint> found = checkpoints_in(folder);
    if (!found.empty()) return found.back().path;
  }
  fail(kName,
       "there is no checkpoint at {}; expected the folder of one, with a trainer_state.json, or "
       "that of a run, with checkpoints/step-NNNNNN in it",
       path);
}

void remove_leftovers(const std::string& folder) {
  std::vector<std::string> leftovers;
  for_each_name(folder, [&](const std::string& name) {
    const bool ours = name.compare(0, 6, ".step-") == 0;
    const std::string ending = fs::path(name).extension().string();
    if (ours && (ending == ".partial" || ending == ".removed")) leftovers.push_back(name);
  });
  for (const std::string& name : leftovers) {
    std::error_code error;
    fs::remove_all(folder + "/" + name, error);
    require(!error, kName, "cannot remove {}/{}: {}", folder, name, error.message());
  }
}

void keep_newest(const std::string& folder, std::int64_t count) {
  if (count == 0) return;
  const std::vector<SavedCheckpoint> found = checkpoints_in(folder);
  const std::int64_t surplus = static_cast<std::int64_t>(found.size()) - count;
  for (std::int64_t i = 0; i < surplus; ++i) remove_folder(found[static_cast<std::size_t>(i)].path);
}

}  // namespace shardgrad
