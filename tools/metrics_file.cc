#include "tools/metrics_file.h"

#include <filesystem>
#include <limits>

#include "files/json.h"
#include "files/mapped_file.h"
#include "tensor/error.h"

namespace shardgrad {

std::string lines_up_to(std::string_view text, const std::string& path, std::int64_t last_step) {
  std::string kept;
  for (std::size_t start = 0, end; start < text.size(); start = end + 1) {
    end = text.find('\n', start);
    if (end == std::string_view::npos) break;
    const std::string_view line = text.substr(start, end - start);
    const auto offset = static_cast<std::int64_t>(start);
    const std::int64_t step = integer_in(parse_json_object(line, path, offset), "step",
                                         fmt::format("{}, in the line at offset {},", path, offset),
                                         0, std::numeric_limits<std::int64_t>::max());
    if (step <= last_step) kept.append(line).append("\n");
  }
  return kept;
}

std::string lines_up_to(const std::string& path, std::int64_t last_step) {
  std::error_code error;
  if (!std::filesystem::exists(path, error) && !error) return "";
  return lines_up_to(MappedFile(path).bytes(), path, last_step);
}

}  // namespace shardgrad
