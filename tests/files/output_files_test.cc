// Files that are written while others read them.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "files/log_file.h"
#include "files/whole_file.h"
#include "tests/support/error_of.h"

namespace shardgrad {
namespace {

using ::testing::HasSubstr;

class OutputFilesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = ::testing::TempDir() + "/OutputFilesTest." +
              ::testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
  }

  std::string path(const std::string& name) const { return folder_ + "/" + name; }

  std::string content(const std::string& name) const {
    std::ifstream file(path(name), std::ios::binary);
    EXPECT_TRUE(file.is_open()) << name;
    return {std::istreambuf_iterator<char>(file), {}};
  }

  std::string folder_;
};

TEST_F(OutputFilesTest, IsReadWhileItGrows) {
  LogFile file(path("x"), "w");
  file.append(std::string("a\0b", 3));
  EXPECT_EQ(content("x"), std::string("a\0b", 3));
  file.append("c\n");
  EXPECT_EQ(content("x"), std::string("a\0bc\n", 5));
}

TEST_F(OutputFilesTest, SaysWhyItCannotBeWritten) {
  EXPECT_THAT(error_of([&] { LogFile(path("no/x"), "w"); }),
              HasSubstr("no/x: No such file or directory"));
  LogFile(path("there"), "w");
  EXPECT_THAT(error_of([&] { LogFile(path("there"), "wx"); }), HasSubstr("there: File exists"));
  EXPECT_THAT(error_of([] { LogFile("/dev/full", "w").append("x"); }),
              HasSubstr("cannot write /dev/full: No space left on device"));
}

TEST_F(OutputFilesTest, WholeFilesAreTheOldOnesUntilTheNewOnesAreThere) {
  write_whole_file(path("x"), "old");
  EXPECT_EQ(content("x"), "old");
  std::filesystem::create_symlink("/dev/full", path("x.partial"));
  EXPECT_THAT(error_of([&] { write_whole_file(path("x"), "new"); }),
              HasSubstr("x.partial: No space left on device"));
  EXPECT_EQ(content("x"), "old");
  EXPECT_FALSE(std::filesystem::exists(std::filesystem::symlink_status(path("x.partial"))));
  write_whole_file(path("x"), "new");
  EXPECT_EQ(content("x"), "new");
  EXPECT_FALSE(std::filesystem::exists(path("x.partial")));
}

}  // namespace
}  // namespace shardgrad
