// FlatRange: a stretch of the flat buffers of all parameters.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace shardgrad {

/// Elements [begin, end) of a flat buffer.
struct FlatRange {
  std::int64_t begin = 0;
  std::int64_t end = 0;

  std::int64_t length() const { return std::max<std::int64_t>(end - begin, 0); }

  /// What both hold; of length 0 when they do not meet.
  FlatRange intersection(const FlatRange& other) const {
    return {std::max(begin, other.begin), std::min(end, other.end)};
  }
};

/// The parts of `ranges` that lie in `window`, without empty ones.
inline std::vector<FlatRange> intersections(const std::vector<FlatRange>& ranges,
                                            const FlatRange& window) {
  std::vector<FlatRange> result;
  for (const FlatRange& range : ranges) {
    const FlatRange common = range.intersection(window);
    if (common.length() > 0) result.push_back(common);
  }
  return result;
}

}  // namespace shardgrad
