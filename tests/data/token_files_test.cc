// Token files: reading, writing, and what is refused.
#include "data/token_files.h"

#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "data/file.h"
#include "data/token_writer.h"
#include "tests/support/error_of.h"

namespace shardgrad {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// A test with an empty folder of its own.
class TokenFilesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto* info = ::testing::UnitTest::GetInstance()->current_test_info();
    folder_ = ::testing::TempDir() + "/" + info->name();
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
  }
  std::string path(const std::string& name) const { return folder_ + "/" + name; }
  void write(const std::string& name, const std::string& bytes) const {
    std::ofstream(path(name), std::ios::binary) << bytes;
  }
  std::string content(const std::string& name) const {
    std::ifstream file(path(name), std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  std::string error_of_opening(const std::string& name) const {
    return error_of([&] { open_token_files(path(name), 100); });
  }
  std::string folder_;
};

/// Little-endian, written by hand.
std::string int32(std::int64_t value) {
  std::string bytes;
  for (int i = 0; i < 4; ++i) bytes += static_cast<char>(value >> 8 * i & 0xff);
  return bytes;
}

std::string llm_c(std::int64_t magic, std::int64_t version, std::int64_t count,
                  const std::string& tokens) {
  std::string bytes = int32(magic) + int32(version) + int32(count);
  bytes.resize(1024, '\0');
  return bytes + tokens;
}

std::vector<TokenId> all(const TokenDataset& dataset) {
  std::vector<TokenId> tokens;
  for (std::int64_t i = 0; i < dataset.size(); ++i) tokens.push_back(dataset[i]);
  return tokens;
}

TEST_F(TokenFilesTest, NanoGptsAreTokensOnly) {
  write("train.bin", std::string("\x01\x00\x51\xc4\xff\xff", 6));
  EXPECT_THAT(all(open_token_files(path("train.bin"), 50257)), ElementsAre(1, 50257, 65535));
  write("empty.bin", "");
  EXPECT_EQ(open_token_files(path("empty.bin"), 100).size(), 0);
}

TEST_F(TokenFilesTest, LlmCsHaveAHeader) {
  write("one.bin", llm_c(20240520, 1, 2, std::string("\x01\x00\x51\xc4", 4)));
  EXPECT_THAT(all(open_token_files(path("one.bin"), 50257)), ElementsAre(1, 50257));
  write("none.bin", llm_c(20240520, 1, 0, ""));
  EXPECT_EQ(open_token_files(path("none.bin"), 50257).size(), 0);
}

TEST_F(TokenFilesTest, ShardsFollowEachOtherInTheOrderOfTheirNames) {
  for (int shard : {2, 0, 1}) {
    write(fmt::format("train_00000{}.bin", shard),
          llm_c(20240520, 1, 1, std::string{static_cast<char>(shard), '\0'}));
  }
  write("val_000000.bin", llm_c(20240520, 1, 1, std::string("\x09\x00", 2)));
  EXPECT_THAT(all(open_token_files(path("train_*.bin"), 100)), ElementsAre(0, 1, 2));
  write("a[b].bin", std::string("\x05\x00", 2));
  EXPECT_THAT(all(open_token_files(path("a[b].bin"), 100)), ElementsAre(5)) << "a name, no pattern";
}

TEST_F(TokenFilesTest, SaysWhatIsMalformed) {
  EXPECT_THAT(error_of_opening("no*.bin"), HasSubstr("no*.bin does not exist; expected a token"));
  write("odd.bin", "\x01\x02\x03");
  EXPECT_THAT(error_of_opening("odd.bin"),
              HasSubstr("odd.bin has 3 bytes, and half a token at offset 2; expected 2 bytes"));
  write("short.bin", llm_c(20240520, 1, 0, "").substr(0, 1022));
  EXPECT_THAT(error_of_opening("short.bin"),
              HasSubstr("short.bin ends at offset 1022, inside llm.c's header; expected 1024"));
  write("version.bin", llm_c(20240520, 2, 0, ""));
  EXPECT_THAT(error_of_opening("version.bin"),
              HasSubstr("the version at offset 4 is 2; only 1 is"));
  for (const std::int64_t count : {1, 3, -1, 2147483647}) {
    write("count.bin", llm_c(20240520, 1, count, "abcd"));
    EXPECT_THAT(error_of_opening("count.bin"),
                HasSubstr(fmt::format("the header at offset 8 promises {} tokens", count)));
  }
  write("a.bin", "abcd");
  write("b.bin", llm_c(20240520, 1, 0, ""));
  EXPECT_THAT(error_of_opening("[ab].bin"), HasSubstr("b.bin is in llmc; expected one format"));
  std::filesystem::create_directories(path("folder.bin"));
  EXPECT_THAT(error_of_opening("folder.bin"), HasSubstr("is no regular file"));
}

// Of a format that is asked for, another magic number is an error, rather than tokens.
TEST_F(TokenFilesTest, AFormatThatIsAskedForIsInsistedOn) {
  write("llama.bin", llm_c(20240801, 7, 2, "abcd"));
  EXPECT_THAT(error_of([&] { open_token_files(path("llama.bin"), 100, TokenFormat::LlmC); }),
              HasSubstr("llama.bin: the magic number at offset 0 is 20240801; llm.c's files of "
                        "16-bit tokens have 20240520"));
  write("one.bin", llm_c(20240520, 1, 0, ""));
  EXPECT_EQ(open_token_files(path("one.bin"), 100, TokenFormat::NanoGpt).size(), 512);
}

/// Resident memory of this process that is its own, in bytes.
std::int64_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  std::int64_t total = 0, resident = 0;
  file >> total >> resident;
  return resident * 4096;
}

// A terabyte, most of it a hole: it can only be mapped, and only what is read is in memory.
TEST_F(TokenFilesTest, AFileLargerThanMemoryIsMapped) {
  write("large.bin", std::string("\x07\x00", 2));
  constexpr std::int64_t kBytes = std::int64_t{1} << 40;
  std::error_code error;
  std::filesystem::resize_file(path("large.bin"), kBytes, error);
  ASSERT_FALSE(error) << "the folder for tests has no sparse files: " << error.message();
  const std::int64_t before = resident_bytes();
  const TokenDataset dataset = open_token_files(path("large.bin"), 100);
  ASSERT_EQ(dataset.size(), kBytes / 2);
  std::vector<std::int32_t> ids(1025);
  for (std::int64_t i = 0; i < 100; ++i) {
    dataset.read(i * (kBytes / 200), 1025, ids.data());
    EXPECT_EQ(ids[0], i == 0 ? 7 : 0);
  }
  EXPECT_LT(resident_bytes() - before, std::int64_t{64} << 20);
}

TEST_F(TokenFilesTest, WriterOfNanoGpts) {
  TokenWriter writer(folder_, "train", TokenFormat::NanoGpt, 2);
  writer.append({1, 258, 3});
  EXPECT_FALSE(std::filesystem::exists(path("train.bin"))) << "not before it is whole";
  writer.append({});
  writer.append({4});
  writer.finish();
  EXPECT_EQ(writer.tokens(), 4);
  EXPECT_THAT(writer.paths(), ElementsAre(path("train.bin")));
  EXPECT_EQ(content("train.bin"), std::string("\1\0\2\1\3\0\4\0", 8));
  EXPECT_FALSE(std::filesystem::exists(path("train.bin.partial")));
}

TEST_F(TokenFilesTest, WriterOfLlmCsShards) {
  TokenWriter writer(folder_, "val", TokenFormat::LlmC, 3);
  writer.append({1, 2, 3, 4});
  writer.append({5, 6, 7});
  writer.finish();
  EXPECT_EQ(content("val_000000.bin"), llm_c(20240520, 1, 3, std::string("\1\0\2\0\3\0", 6)));
  EXPECT_EQ(content("val_000002.bin"), llm_c(20240520, 1, 1, std::string("\7\0", 2)));
  EXPECT_EQ(writer.paths().size(), 3u);
  EXPECT_THAT(all(open_token_files(path("val_*.bin"), 100)), ElementsAre(1, 2, 3, 4, 5, 6, 7));
}

TEST_F(TokenFilesTest, WriterWithoutTokensOrEnd) {
  TokenWriter nothing(folder_, "nothing", TokenFormat::LlmC, 3);
  nothing.finish();
  EXPECT_EQ(content("nothing_000000.bin"), llm_c(20240520, 1, 0, ""));
  { TokenWriter(folder_, "abandoned", TokenFormat::NanoGpt, 3).append({1}); }
  EXPECT_FALSE(std::filesystem::exists(path("abandoned.bin")));
  EXPECT_FALSE(std::filesystem::exists(path("abandoned.bin.partial")));
}

TEST_F(TokenFilesTest, WriterSaysWhatItCannotDo) {
  EXPECT_THAT(error_of([&] { TokenWriter(folder_, "x", TokenFormat::LlmC, 0); }),
              HasSubstr("shard_tokens 0 is out of range; expected 1 to 2147483647"));
  EXPECT_THAT(
      error_of([&] { TokenWriter(path("missing"), "x", TokenFormat::LlmC, 1).append({1}); }),
      HasSubstr("missing/x_000000.bin.partial: No such file"));
  std::filesystem::create_symlink("/dev/full", path("full.bin.partial"));
  EXPECT_THAT(error_of([&] {
                TokenWriter writer(folder_, "full", TokenFormat::NanoGpt, 1);
                writer.append({1});
                writer.finish();
              }),
              HasSubstr("full.bin.partial: No space left on device"));
}

}  // namespace
}  // namespace shardgrad
