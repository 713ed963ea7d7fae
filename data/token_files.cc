#include "data/token_files.h"

#include <glob.h>

#include <algorithm>
#include <filesystem>
#include <memory>

#include "data/file.h"
#include "files/mapped_file.h"
#include "tensor/error.h"

namespace shardgrad {
namespace {

constexpr const char* kWhere = "open_token_files";
constexpr std::int64_t kTokenBytes = sizeof(TokenId);

// The integer at an offset, low byte first.
std::int32_t integer_at(const unsigned char* bytes, std::int64_t offset) {
  std::uint32_t value = 0;
  for (int i = 3; i >= 0; --i) value = value << 8 | bytes[offset + i];
  return static_cast<std::int32_t>(value);
}

TokenFileLayout llm_c_layout(const unsigned char* bytes, std::int64_t size,
                             const std::string& name) {
  require(size >= kLlmCHeaderBytes, kWhere,
          "{} ends at offset {}, inside llm.c's header; expected {} bytes of it", name, size,
          kLlmCHeaderBytes);
  const std::int32_t magic = integer_at(bytes, 0), version = integer_at(bytes, 4);
  require(magic == kLlmCMagic, kWhere,
          "{}: the magic number at offset 0 is {}; llm.c's files of 16-bit tokens have {}", name,
          magic, kLlmCMagic);
  require(version == kLlmCVersion, kWhere, "{}: the version at offset 4 is {}; only {} is known",
          name, version, kLlmCVersion);
  const std::int64_t tokens = integer_at(bytes, 8);
  const std::int64_t expected = kLlmCHeaderBytes + tokens * kTokenBytes;
  require(tokens >= 0 && size == expected, kWhere,
          "{}: the header at offset 8 promises {} tokens, so {} bytes, but the file has {}; was it "
          "cut off?",
          name, tokens, expected, size);
  return {TokenFormat::LlmC, kLlmCHeaderBytes, tokens};
}

}  // namespace

const char* name_of(TokenFormat format) {
  return format == TokenFormat::NanoGpt ? "nanogpt" : "llmc";
}

TokenFileLayout token_layout(const unsigned char* bytes, std::int64_t size, const std::string& name,
                             std::optional<TokenFormat> format) {
  if (!format) {
    // The magic number read as tokens has one above 50,256, which no file of GPT-2's begins with.
    const bool magic = size >= 4 && integer_at(bytes, 0) == kLlmCMagic;
    format = magic ? TokenFormat::LlmC : TokenFormat::NanoGpt;
  }
  if (format == TokenFormat::LlmC) return llm_c_layout(bytes, size, name);
  require(size % kTokenBytes == 0, kWhere,
          "{} has {} bytes, and half a token at offset {}; expected 2 bytes for each", name, size,
          size - 1);
  return {TokenFormat::NanoGpt, 0, size / kTokenBytes};
}

std::vector<std::string> matching_paths(const std::string& pattern) {
  std::error_code error;
  if (std::filesystem::exists(pattern, error)) return {pattern};
  glob_t found{};
  const std::unique_ptr<glob_t, decltype(&globfree)> owner(&found, &globfree);
  // GLOB_NOSORT, since the order would be that of the user's language.
  const int status = glob(pattern.c_str(), GLOB_NOSORT, nullptr, &found);
  require(status == 0 || status == GLOB_NOMATCH, kWhere, "cannot look for {}", pattern);
  std::vector<std::string> paths;
  for (std::size_t i = 0; i < found.gl_pathc; ++i) paths.emplace_back(found.gl_pathv[i]);
  std::sort(paths.begin(), paths.end());
  return paths;
}

TokenDataset open_token_files(const std::string& pattern, std::int64_t vocab_size,
                              std::optional<TokenFormat> format) {
  const std::vector<std::string> paths = matching_paths(pattern);
  require(!paths.empty(), kWhere, "{} does not exist; expected a token file, or a pattern for some",
          pattern);
  std::vector<TokenRun> runs;
  std::optional<TokenFormat> first;
  for (const std::string& path : paths) {
    const auto file = std::make_shared<const MappedFile>(path);
    const TokenFileLayout layout = token_layout(file->data(), file->size(), path, format);
    if (!first) first = layout.format;
    require(layout.format == *first, kWhere,
            "{} is in the format {}, {} is in {}; expected one format for all", paths.front(),
            name_of(*first), path, name_of(layout.format));
    runs.push_back({path, layout.first_byte,
                    reinterpret_cast<const TokenId*>(file->data() + layout.first_byte),
                    layout.tokens, file});
  }
  return TokenDataset(std::move(runs), vocab_size);
}

}  // namespace shardgrad
