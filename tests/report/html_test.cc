#include "report/html.h"

#include <gtest/gtest.h>

namespace shardgrad {
namespace {

TEST(HtmlEscapedTest, MarkupIsShown) {
  EXPECT_EQ(html_escaped("<a href=\"x\">'&amp;'</a>"),
            "&lt;a href=&quot;x&quot;&gt;&#39;&amp;amp;&#39;&lt;/a&gt;");
  EXPECT_EQ(html_escaped(""), "");
}

TEST(HtmlEscapedTest, TextStays) {
  const std::string text = "lines\n\tna\xc3\xafve \xe4\xbd\xa0 \xf0\x9f\x98\x80 ~";
  EXPECT_EQ(html_escaped(text), text);
}

TEST(HtmlEscapedTest, WhatIsNoTextIsReplaced) {
  const std::string mark = "\xef\xbf\xbd";
  EXPECT_EQ(html_escaped(std::string("a\0b\x1b\x7f", 5)), "a" + mark + "b" + mark + mark);
  EXPECT_EQ(html_escaped("\xff<\xe4\xbd"), mark + "&lt;" + mark + mark);
  EXPECT_EQ(html_escaped("\xc2\x85"), mark) << "a control character";
}

}  // namespace
}  // namespace shardgrad
