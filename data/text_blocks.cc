#include "data/text_blocks.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>

#include "tensor/error.h"

namespace shardgrad {
namespace {

constexpr const char* kWhere = "TextBlockReader";
constexpr std::int64_t kBlockBytes = 1 << 20;
constexpr std::size_t kMostUncut = 64 << 20;
// So many bytes before the place where a text is to be divided are looked at for a cut.
constexpr std::int64_t kSearchBytes = 4 << 20;

std::int64_t size_of(const std::vector<TextRange>& texts) {
  std::int64_t bytes = 0;
  for (const TextRange& text : texts) bytes += text.end - text.begin;
  return bytes;
}

// Bytes [begin, end) of a file.
std::string read_bytes(const std::string& path, std::int64_t begin, std::int64_t end) {
  std::ifstream file(path, std::ios::binary);
  file.seekg(begin);
  std::string bytes(static_cast<std::size_t>(end - begin), '\0');
  file.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  require(file.gcount() == static_cast<std::streamsize>(bytes.size()), kWhere,
          "cannot read bytes {} to {} of {}: {}", begin, end, path, std::strerror(errno));
  return bytes;
}

}  // namespace

std::size_t last_cut(std::string_view bytes, bool json_lines, const Tokenizer& tokenizer) {
  return json_lines ? bytes.rfind('\n') + 1 : tokenizer.last_cut(bytes);
}

TextBlockReader::TextBlockReader(std::vector<TextRange> ranges, const Tokenizer& tokenizer)
    : ranges_(std::move(ranges)), tokenizer_(tokenizer) {}

void TextBlockReader::open(const TextRange& range) {
  errno = 0;
  file_ = std::ifstream(range.path, std::ios::binary);
  require(file_.is_open(), kWhere, "cannot open {}: {}", range.path, std::strerror(errno));
  file_.seekg(range.begin);
  position_ = range.begin;
}

void TextBlockReader::read_more(const TextRange& range) {
  const std::size_t size = pending_.size();
  const std::int64_t wanted = std::min(kBlockBytes, range.end - position_);
  pending_.resize(size + static_cast<std::size_t>(wanted));
  errno = 0;
  file_.read(&pending_[size], wanted);
  require(file_.gcount() == wanted, kWhere, "{} ended at offset {}; expected {} bytes: {}",
          range.path, position_ + file_.gcount(), range.end,
          errno == 0 ? "it has been changed while it was read" : std::strerror(errno));
  position_ += wanted;
}

bool TextBlockReader::next(TextBlock& block) {
  while (range_ < ranges_.size() && ranges_[range_].begin == ranges_[range_].end) ++range_;
  if (range_ == ranges_.size()) return false;
  const TextRange& range = ranges_[range_];
  const bool json_lines = is_json_lines(range.path);
  if (!file_.is_open()) open(range);
  std::size_t cut = 0;
  while (cut == 0 && position_ < range.end) {
    read_more(range);
    cut = last_cut(pending_, json_lines, tokenizer_);
    require(cut > 0 || pending_.size() < kMostUncut, kWhere,
            "{}: the {} bytes from offset {} on hold no {}; expected text", range.path,
            pending_.size(), position_ - static_cast<std::int64_t>(pending_.size()),
            json_lines ? "end of a line" : "space between words");
  }
  const bool last = position_ == range.end;
  if (last) cut = pending_.size();
  block.path = range.path;
  block.offset = position_ - static_cast<std::int64_t>(pending_.size());
  block.bytes = pending_.substr(0, cut);
  block.json_lines = json_lines;
  block.ends_document = last;
  pending_.erase(0, cut);
  if (last) {
    file_.close();
    ++range_;
  }
  return true;
}

TextSplit split_text(const std::vector<TextRange>& texts, double held_out_fraction,
                     const Tokenizer& tokenizer) {
  require(held_out_fraction >= 0.0 && held_out_fraction < 1.0, "split_text",
          "held_out_fraction {} is out of range; expected 0 <= held_out_fraction < 1",
          held_out_fraction);
  const std::int64_t all = size_of(texts);
  std::int64_t left = all - std::llround(static_cast<double>(all) * held_out_fraction);
  TextSplit split;
  for (const TextRange& text : texts) {
    const std::int64_t size = text.end - text.begin;
    if (left >= size) {
      split.training.push_back(text);
      left -= size;
      continue;
    }
    std::int64_t middle = text.begin;
    if (left > 0) {
      const std::int64_t from = std::max(text.begin, text.begin + left - kSearchBytes);
      const std::string bytes = read_bytes(text.path, from, text.begin + left);
      const std::size_t cut = last_cut(bytes, is_json_lines(text.path), tokenizer);
      if (cut > 0) middle = from + static_cast<std::int64_t>(cut);
    }
    left = 0;
    if (middle > text.begin) split.training.push_back({text.path, text.begin, middle});
    split.held_out.push_back({text.path, middle, text.end});
  }
  return split;
}

}  // namespace shardgrad
