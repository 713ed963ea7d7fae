// Text files in blocks that can be encoded one by one, whatever the size of the files.
#pragma once

#include <cstdint>
#include <fstream>
#include <string>
#include <vector>

#include "data/text_files.h"
#include "data/tokenizer.h"

namespace shardgrad {

/// Some bytes of a text file, cut where encoding the parts gives the tokens of the whole.
struct TextBlock {
  std::string path;
  std::int64_t offset = 0;  ///< of the first byte, in the file
  std::string bytes;
  bool json_lines = false;  ///< whole lines, each a document
  bool ends_document = false;
};

/// Reads files block by block, about a megabyte each.
class TextBlockReader {
 public:
  /// The tokenizer, which has to outlive the reader, says where text can be cut.
  TextBlockReader(std::vector<TextRange> ranges, const Tokenizer& tokenizer);

  /// The next block. False at the end. @throws Error when a file cannot be read, is shorter than
  /// its range, or cannot be cut within 64 MiB.
  bool next(TextBlock& block);

 private:
  void open(const TextRange& range);
  void read_more(const TextRange& range);

  std::vector<TextRange> ranges_;
  const Tokenizer& tokenizer_;
  std::size_t range_ = 0;  // which is being read
  std::ifstream file_;
  std::int64_t position_ = 0;  // in the file: what is pending ends here
  std::string pending_;
};

/// What a model is to learn from, and what is held out.
struct TextSplit {
  std::vector<TextRange> training;
  std::vector<TextRange> held_out;
};

/// Divides texts at the last place before (1 - held_out_fraction) of their bytes where a file ends,
/// or can be cut. @throws Error unless 0 <= held_out_fraction < 1.
TextSplit split_text(const std::vector<TextRange>& texts, double held_out_fraction,
                     const Tokenizer& tokenizer);

/// The place for cutting: after a line of JSON lines, else where the tokenizer says.
std::size_t last_cut(std::string_view bytes, bool json_lines, const Tokenizer& tokenizer);

}  // namespace shardgrad
