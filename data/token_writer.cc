#include "data/token_writer.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <limits>

#include "tensor/error.h"

namespace shardgrad {
namespace {

constexpr const char* kWhere = "TokenWriter";

}  // namespace

TokenWriter::TokenWriter(std::string folder, std::string part, TokenFormat format,
                         std::int64_t shard_tokens)
    : folder_(std::move(folder)),
      part_(std::move(part)),
      format_(format),
      shard_tokens_(format == TokenFormat::LlmC ? shard_tokens
                                                : std::numeric_limits<std::int64_t>::max()) {
  require(shard_tokens >= 1 && shard_tokens <= std::numeric_limits<std::int32_t>::max(), kWhere,
          "shard_tokens {} is out of range; expected 1 to {}, which is what a header can hold",
          shard_tokens, std::numeric_limits<std::int32_t>::max());
}

TokenWriter::~TokenWriter() {
  if (file_ == nullptr) return;
  std::fclose(file_);
  std::remove(partial().c_str());
}

void TokenWriter::open() {
  const std::string number =
      format_ == TokenFormat::LlmC ? fmt::format("_{:06}", paths_.size()) : "";
  paths_.push_back(fmt::format("{}/{}{}.bin", folder_, part_, number));
  file_ = std::fopen(partial().c_str(), "wb");
  require(file_ != nullptr, kWhere, "cannot write {}: {}", partial(), std::strerror(errno));
  in_file_ = 0;
  if (format_ == TokenFormat::LlmC) {
    const std::vector<char> room(kLlmCHeaderBytes, 0);  // close() knows what belongs there
    write(room.data(), room.size());
  }
}

void TokenWriter::close() {
  if (format_ == TokenFormat::LlmC) {
    const std::int32_t header[] = {kLlmCMagic, kLlmCVersion, static_cast<std::int32_t>(in_file_)};
    const bool at_start = std::fseek(file_, 0, SEEK_SET) == 0;
    require(at_start, kWhere, "cannot write {}: {}", partial(), std::strerror(errno));
    write(header, sizeof(header));
  }
  std::FILE* const file = std::exchange(file_, nullptr);
  const bool closed = std::fclose(file) == 0;
  const std::string reason = closed ? "" : std::strerror(errno);
  std::error_code error;
  if (!closed) std::filesystem::remove(partial(), error);
  require(closed, kWhere, "cannot write {}: {}", partial(), reason);
  std::filesystem::rename(partial(), paths_.back(), error);
  require(!error, kWhere, "cannot rename {} to {}: {}", partial(), paths_.back(), error.message());
}

void TokenWriter::write(const void* data, std::size_t bytes) {
  const bool written = std::fwrite(data, 1, bytes, file_) == bytes;
  require(written, kWhere, "cannot write {}: {}", partial(), std::strerror(errno));
}

void TokenWriter::append(const std::vector<TokenId>& tokens) {
  const auto count = static_cast<std::int64_t>(tokens.size());
  for (std::int64_t done = 0; done < count;) {
    if (file_ != nullptr && in_file_ == shard_tokens_) close();
    if (file_ == nullptr) open();
    const std::int64_t length = std::min(count - done, shard_tokens_ - in_file_);
    write(tokens.data() + done, static_cast<std::size_t>(length) * sizeof(TokenId));
    done += length;
    in_file_ += length;
    tokens_ += length;
  }
}

void TokenWriter::finish() {
  if (paths_.empty()) open();
  if (file_ != nullptr) close();
}

}  // namespace shardgrad
