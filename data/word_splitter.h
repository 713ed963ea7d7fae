// The pieces of a text within which byte pairs are merged.
#pragma once

#include <cstddef>
#include <memory>
#include <string_view>
#include <vector>

namespace shardgrad {

/// Cuts text the way GPT-2 does: into contractions ('s, 'll), and runs of letters, of numbers, and
/// of other characters, each with the space before it; and runs of white space. Source: the regular
/// expression of GPT-2's encoder (Radford et al., 2019), with \s spelled out as Unicode's
/// White_Space, since libraries differ on it.
///
/// GPT-2 knows only valid UTF-8. Here, bytes that are none are pieces of their own, run by run, and
/// what stands before and after them is cut as if it were alone.
class WordSplitter {
 public:
  /// @throws Error when the library cannot compile the pattern.
  WordSplitter();

  /// The pieces, which together are `text`. They point into it.
  std::vector<std::string_view> split(std::string_view text) const;

  /// The last place in `text`, before a blank that follows something else, where a piece ends and
  /// another begins, whatever follows `text`; 0 where there is none.
  static std::size_t last_cut(std::string_view text);

 private:
  void split_valid(std::string_view text, std::vector<std::string_view>& pieces) const;

  std::shared_ptr<const void> pattern_;
};

}  // namespace shardgrad
