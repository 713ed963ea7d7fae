// Text for a terminal, whole and in pieces.
#include "tools/printable_text.h"

#include <gtest/gtest.h>

namespace shardgrad {
namespace {

TEST(PrintableTest, KeepsTextAndShowsTheRest) {
  const std::string text = "a\tb\n\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80";
  EXPECT_EQ(printable(text), text);
  EXPECT_EQ(printable(""), "");
  EXPECT_EQ(printable("\r\033[K\x7f"), "\\x0d\\x1b[K\\x7f");
  EXPECT_EQ(printable(std::string(1, '\0')), "\\x00");
  EXPECT_EQ(printable("\xc3"), "\\xc3") << "cut off";
  EXPECT_EQ(printable("\xe2\x82z"), "\\xe2\\x82z");
  EXPECT_EQ(printable("\xc2\x9b"), "\\xc2\\x9b") << "a control character";
  EXPECT_EQ(printable("\xc0\xaf\xed\xa0\x80\xff"), "\\xc0\\xaf\\xed\\xa0\\x80\\xff");
}

TEST(PrintableStream, CharactersComeWhole) {
  PrintableStream stream;
  EXPECT_EQ(stream.add("a\xf0"), "a");
  EXPECT_EQ(stream.add("\x9f"), "");
  EXPECT_EQ(stream.add("\x98"), "");
  EXPECT_EQ(stream.add("\x80\xe2\x82"), "\xf0\x9f\x98\x80");
  EXPECT_EQ(stream.add("\xac!"), "\xe2\x82\xac!");
  EXPECT_EQ(stream.finish(), "");
}

TEST(PrintableStream, WhatBecomesNoCharacterIsShown) {
  PrintableStream stream;
  EXPECT_EQ(stream.add("\xe2\x82"), "");
  EXPECT_EQ(stream.add("z"), "\\xe2\\x82z");
  EXPECT_EQ(stream.add("\x80\x80"), "\\x80\\x80") << "nothing that they could go on from";
  EXPECT_EQ(stream.add("\xc3"), "");
  EXPECT_EQ(stream.finish(), "\\xc3");
  EXPECT_EQ(stream.finish(), "");
}

// All texts of up to four pieces out of what begins, continues, breaks and is no character.
TEST(PrintableStream, PiecesGiveWhatTheWholeGives) {
  const std::string pieces[] = {"a", "\xc3", "\xa9", "\xe2\x82", "\xf0\x9f\x98", "\xed", "\xff"};
  for (const std::string& a : pieces) {
    for (const std::string& b : pieces) {
      for (const std::string& c : pieces) {
        for (const std::string& d : pieces) {
          PrintableStream stream;
          std::string text;
          for (const std::string& piece : {a, b, c, d}) text += stream.add(piece);
          EXPECT_EQ(text + stream.finish(), printable(a + b + c + d));
        }
      }
    }
  }
}

}  // namespace
}  // namespace shardgrad
