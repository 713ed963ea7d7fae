// Files of 16-bit token ids, in the two formats that people have.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "data/token_dataset.h"

namespace shardgrad {

/// How a file holds its tokens, 16 bits each, the low byte first.
enum class TokenFormat {
  NanoGpt,  ///< nothing but tokens
  LlmC,     ///< after a header of 256 integers of 32 bits: 20240520, 1, the number of tokens, zeros
};

/// "nanogpt" or "llmc".
const char* name_of(TokenFormat format);

constexpr std::int32_t kLlmCMagic = 20240520;
constexpr std::int32_t kLlmCVersion = 1;
constexpr std::int64_t kLlmCHeaderBytes = 256 * 4;

/// Where the tokens of a file are.
struct TokenFileLayout {
  TokenFormat format = TokenFormat::NanoGpt;
  std::int64_t first_byte = 0;
  std::int64_t tokens = 0;
};

/// Looks at a file of `size` bytes, which begin at `bytes`; `name` is for errors. The format is
/// told by the first four bytes unless it is given.
/// @throws Error when the header is cut off or of another kind or version, or the size of the file
/// does not go with it.
TokenFileLayout token_layout(const unsigned char* bytes, std::int64_t size, const std::string& name,
                             std::optional<TokenFormat> format = std::nullopt);

/// The paths that a shell's pattern stands for (*, ?, [...]), in their bytes' order. A file of that
/// very name comes first. Empty where there is nothing.
std::vector<std::string> matching_paths(const std::string& pattern);

/// The tokens of all files that match `pattern`, one file after the other, mapped into memory
/// rather than read: they may be larger than it. Ids are compared with `vocab_size` whenever some
/// are read, not here, which would read everything. @throws Error when nothing matches, a file
/// cannot be read or is malformed, or the files' formats differ.
TokenDataset open_token_files(const std::string& pattern, std::int64_t vocab_size,
                              std::optional<TokenFormat> format = std::nullopt);

}  // namespace shardgrad
