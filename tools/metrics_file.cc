#include "tools/metrics_file.h"

#include <fstream>
#include <nlohmann/json.hpp>

#include "tensor/error.h"

namespace shardgrad {

std::string lines_up_to(const std::string& path, std::int64_t last_step) {
  std::ifstream file(path, std::ios::binary);
  std::string kept, line;
  for (std::int64_t number = 1; std::getline(file, line); ++number) {
    if (file.eof()) break;  // no newline at its end
    const nlohmann::json object = nlohmann::json::parse(line, nullptr, false);
    const bool good =
        object.is_object() && object.contains("step") && object["step"].is_number_integer();
    require(good, "train", "line {} of {} is no object with a \"step\"; repair or remove the file",
            number, path);
    if (object["step"].get<std::int64_t>() <= last_step) kept += line + "\n";
  }
  return kept;
}

}  // namespace shardgrad
