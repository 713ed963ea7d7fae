// Text from a model, for a terminal.
#pragma once

#include <string>
#include <string_view>

namespace shardgrad {

/// `text` with every byte that a terminal would not print as a character written as \xNN: what is
/// not UTF-8, and control characters other than newline and tab.
std::string printable(const std::string& text);

/// The same of a text that comes in pieces, which may end in the middle of a character.
class PrintableStream {
 public:
  /// What can be printed now that `bytes` follow: all but the beginning of a character at the end.
  std::string add(std::string_view bytes);

  /// What is left when nothing follows any more.
  std::string finish();

 private:
  std::string held_back_;
};

}  // namespace shardgrad
