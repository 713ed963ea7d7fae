#include "data/text.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "tests/support/error_of.h"

namespace shardgrad {
namespace {

namespace fs = std::filesystem;

/// Each test works in an empty folder of its own.
class ReadText : public testing::Test {
 protected:
  void SetUp() override {
    const auto* test = testing::UnitTest::GetInstance()->current_test_info();
    root_ = fs::path(testing::TempDir()) / "read_text" / test->name();
    fs::remove_all(root_);
    fs::create_directories(root_);
  }

  std::string path(const std::string& name = "") const {
    return name.empty() ? root_.native() : (root_ / name).native();
  }

  void write(const std::string& name, const std::string& content) const {
    fs::create_directories((root_ / name).parent_path());
    std::ofstream(root_ / name, std::ios::binary) << content;
  }

  std::string error_of(const std::string& name = "") const {
    return shardgrad::error_of([&] { read_text(path(name)); });
  }

 private:
  fs::path root_;
};

/// While it lives, the process can open nothing: as root, the way to meet an unreadable file.
class NoFreeFileDescriptor {
 public:
  NoFreeFileDescriptor() {
    getrlimit(RLIMIT_NOFILE, &before_);
    const rlimit none{0, before_.rlim_max};
    setrlimit(RLIMIT_NOFILE, &none);
  }
  ~NoFreeFileDescriptor() { setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_{};
};

TEST_F(ReadText, FileIsReturnedAsItIs) {
  const std::string content = "no newline\r\nat the end: \xc3\xa9\xff";
  write("a.txt", content);
  EXPECT_EQ(read_text(path("a.txt")), content);
}

TEST_F(ReadText, LargeFileIsWhole) {
  std::string content;
  for (int i = 0; content.size() < 3 * 1024 * 1024 + 17; ++i) content += std::to_string(i) + "\n";
  write("large.txt", content);
  EXPECT_TRUE(read_text(path("large.txt")) == content);
}

TEST_F(ReadText, FolderIsReadInByteOrderOfThePaths) {
  write("b/deep/er/x.txt", "5\n");
  write("b.txt", "4\n");  // '.' sorts before '/'
  write("Z.txt", "1\n");
  write("a10", "2\n");
  write("a9", "3\n");
  write("\xc3\xa9.txt", "6\n");  // bytes above 127 sort last
  EXPECT_EQ(read_text(path()), "1\n2\n3\n4\n5\n6\n");
}

TEST_F(ReadText, NewlineIsAddedOnlyBetweenFilesThatNeedIt) {
  write("a", "one");
  write("b", "two\n");
  write("c", "");
  write("d", "three");
  EXPECT_EQ(read_text(path()), "one\ntwo\nthree");
}

TEST_F(ReadText, FolderSkipsHiddenNamesAndBinaries) {
  write("a", "seen\n");
  write(".hidden", "secret\n");
  write(".git/config", "secret\n");
  write("b.bin", std::string("\x7f"
                             "ELF\0rest",
                             9));
  write("z", "too");
  EXPECT_EQ(read_text(path()), "seen\ntoo");
}

TEST_F(ReadText, BinaryLeavesNoTrailingNewline) {
  write("a", "text");
  write("b.bin", std::string(20000, '\0'));
  EXPECT_EQ(read_text(path()), "text");
}

TEST_F(ReadText, HiddenFolderIsReadWhenNamed) {
  write(".notes/a", "text");
  EXPECT_EQ(read_text(path(".notes")), "text");
}

TEST_F(ReadText, OnlyTheFirst8KiBTellABinary) {
  const std::string late = std::string(8192, 'x') + '\0';
  write("late", late);
  EXPECT_EQ(read_text(path("late")), late);
  write("early", std::string(8191, 'x') + '\0');
  EXPECT_EQ(error_of("early"),
            "[read_text] " + path("early") +
                " is a binary file (NUL byte in its first 8192 bytes); expected text");
}

TEST_F(ReadText, LinksAreFollowedAndLoopsEnd) {
  write("folder/a", "a\n");
  fs::create_directory_symlink("..", path("folder/parent"));
  fs::create_directory_symlink(".", path("folder/self"));
  fs::create_symlink("nowhere", path("folder/dangling"));
  fs::create_symlink("mutual2", path("folder/mutual1"));
  fs::create_symlink("mutual1", path("folder/mutual2"));
  write("elsewhere/b", "b\n");
  fs::create_directory_symlink(path("elsewhere"), path("folder/linked"));
  fs::create_directory_symlink("folder", path("link_to_folder"));
  // As seen from the folder, `parent` leads to the whole tree: elsewhere/b is reached through it or
  // through `linked`, once in any case.
  EXPECT_EQ(read_text(path("folder")), "a\nb\n");
  EXPECT_EQ(read_text(path("link_to_folder")), "a\nb\n");
}

TEST_F(ReadText, PipeInAFolderIsSkipped) {
  write("a", "text");
  ASSERT_EQ(mkfifo(path("pipe").c_str(), 0600), 0);  // opening it would wait for a writer
  EXPECT_EQ(read_text(path()), "text");
}

TEST_F(ReadText, SaysThatNothingIsThere) {
  EXPECT_EQ(error_of("nothing"),
            "[read_text] " + path("nothing") +
                " does not exist; expected a text file or a folder of text files");
  EXPECT_EQ(shardgrad::error_of([] { read_text(""); }),
            "[read_text]  does not exist; expected a text file or a folder of text files");
}

TEST_F(ReadText, SaysWhyAPathCannotBeLookedAt) {
  fs::create_symlink("loop", path("loop"));
  EXPECT_EQ(error_of("loop"),
            "[read_text] cannot look at " + path("loop") + ": Too many levels of symbolic links");
}

TEST_F(ReadText, SaysWhyAFileCannotBeOpened) {
  write("a", "text");
  const NoFreeFileDescriptor none;
  EXPECT_EQ(error_of("a"), "[read_text] cannot open " + path("a") +
                               ": Too many open files; make it readable for this user");
}

TEST_F(ReadText, SaysWhyAFolderCannotBeListed) {
  write("a", "text");
  const NoFreeFileDescriptor none;
  EXPECT_EQ(error_of(), "[read_text] cannot list folder " + path() +
                            ": Too many open files; make it readable for this user");
}

TEST_F(ReadText, SaysWhyAFileCannotBeRead) {
  // A regular file that can be opened, but has no byte at its start.
  fs::create_symlink("/proc/self/mem", path("a"));
  EXPECT_EQ(error_of("a"), "[read_text] cannot read " + path("a") + ": Input/output error");
  EXPECT_EQ(error_of(), "[read_text] cannot read " + path("a") + ": Input/output error");
}

TEST_F(ReadText, SaysThatAFileIsEmpty) {
  write("a", "");
  EXPECT_EQ(error_of("a"), "[read_text] " + path("a") + " is empty; expected text");
}

TEST_F(ReadText, SaysThatAFolderHoldsNoText) {
  EXPECT_EQ(error_of(), "[read_text] folder " + path() +
                            " holds no text (no visible files); expected at least one text file "
                            "in it");
  write("a", "");
  write("b", std::string(1, '\0'));
  write(".c", "hidden");
  EXPECT_EQ(error_of(), "[read_text] folder " + path() +
                            " holds no text (2 visible files, all of them binary or empty); "
                            "expected at least one text file in it");
}

}  // namespace
}  // namespace shardgrad
