#include "data/word_splitter.h"

#include <pcre2.h>

#include <algorithm>
#include <string>

#include "data/utf8.h"
#include "tensor/error.h"

namespace shardgrad {
namespace {

constexpr const char* kWhere = "WordSplitter";

// Unicode's White_Space, for the inside of a character class; see is_white_space().
constexpr const char* kWhiteSpace =
    R"(\t-\r\x20\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})";

std::string pattern_text() {
  return fmt::format(
      R"('(?:[sdmt]|ll|ve|re)| ?\p{{L}}+| ?\p{{N}}+| ?[^{0}\p{{L}}\p{{N}}]+|[{0}]+(?![^{0}])|[{0}]+)",
      kWhiteSpace);
}

std::string message_of(int error) {
  PCRE2_UCHAR text[256];
  pcre2_get_error_message(error, text, sizeof(text));
  return reinterpret_cast<const char*>(text);
}

const pcre2_code* code_of(const std::shared_ptr<const void>& pattern) {
  return static_cast<const pcre2_code*>(pattern.get());
}

}  // namespace

WordSplitter::WordSplitter() {
  const std::string text = pattern_text();
  int error = 0;
  PCRE2_SIZE offset = 0;
  pcre2_code* code =
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(),
                    PCRE2_UTF | PCRE2_UCP | PCRE2_ANCHORED, &error, &offset, nullptr);
  require(code != nullptr, kWhere,
          "PCRE2 cannot compile GPT-2's pattern: {}; expected a PCRE2 "
          "built with Unicode support",
          message_of(error));
  // Where compiling to machine code is not possible, the pattern is interpreted, only slower.
  pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);
  pattern_ = std::shared_ptr<const void>(code, [code](const void*) { pcre2_code_free(code); });
}

void WordSplitter::split_valid(std::string_view text, std::vector<std::string_view>& pieces) const {
  const pcre2_code* code = code_of(pattern_);
  const std::unique_ptr<pcre2_match_data, decltype(&pcre2_match_data_free)> match(
      pcre2_match_data_create_from_pattern(code, nullptr), &pcre2_match_data_free);
  require(match != nullptr, kWhere, "out of memory");
  for (std::size_t start = 0; start < text.size();) {
    // The caller has checked that this is UTF-8, once; PCRE2 would do it anew at each match.
    const int count = pcre2_match(code, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(),
                                  start, PCRE2_NO_UTF_CHECK, match.get(), nullptr);
    require(count > 0, kWhere, "PCRE2 cannot match at byte {} of {}: {}", start, text.size(),
            count > 0 ? "" : message_of(count));
    const std::size_t end = pcre2_get_ovector_pointer(match.get())[1];
    pieces.push_back(text.substr(start, end - start));
    start = end;
  }
}

std::vector<std::string_view> WordSplitter::split(std::string_view text) const {
  std::vector<std::string_view> pieces;
  for (std::size_t start = 0; start < text.size();) {
    std::size_t end = start;
    while (const std::size_t length = utf8_length(text.substr(end))) end += length;
    split_valid(text.substr(start, end - start), pieces);
    for (start = end; end < text.size() && utf8_length(text.substr(end)) == 0;) ++end;
    if (end > start) pieces.push_back(text.substr(start, end - start));
    start = end;
  }
  return pieces;
}

// A blank that follows a character other than white space always begins a piece, since only a first
// character may be a space; and no pattern looks back, nor does what precedes it look ahead.
std::size_t WordSplitter::last_cut(std::string_view text) {
  const auto is_blank = [](char c) { return c == ' ' || (c >= '\t' && c <= '\r'); };
  for (std::size_t at = text.size(); at-- > 1;) {
    if (!is_blank(text[at]) || is_blank(text[at - 1])) continue;
    // White space beyond ASCII has two or three bytes.
    bool after_white_space = false;
    for (std::size_t length = 2; length <= std::min<std::size_t>(3, at); ++length) {
      const std::string_view before = text.substr(at - length, length);
      after_white_space |= utf8_length(before) == length && is_white_space(utf8_code_point(before));
    }
    if (!after_white_space) return at;
  }
  return 0;
}

}  // namespace shardgrad
