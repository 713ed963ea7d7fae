#include "report/page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <sstream>

#include "report/chart.h"
#include "tests/support/error_of.h"

namespace shardgrad {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;

// The texts between `begin` and the next `end`.
std::vector<std::string> between(const std::string& text, const std::string& begin,
                                 const std::string& end) {
  std::vector<std::string> result;
  for (auto at = text.find(begin); at != std::string::npos; at = text.find(begin, at)) {
    at += begin.size();
    result.push_back(text.substr(at, text.find(end, at) - at));
  }
  return result;
}

json points_of(const std::string& html) {
  const std::vector<std::string> found =
      between(html, "<script type=\"application/json\">", "</script>");
  EXPECT_EQ(found.size(), 1u);
  return json::parse(found.at(0));
}

Chart chart_with(std::vector<ChartLine> lines) { return {"Title", "unit", std::move(lines)}; }

TEST(ChartTest, PointsAreWhereTheAxesSay) {
  const Curve curve{{0, 50, 100}, {2.0, 4.0, 3.0}};
  const std::string html = chart_html(chart_with({{"name", curve}}));
  const json points = points_of(html);
  EXPECT_EQ(points["x"], (json{0, 100}));
  EXPECT_EQ(points["lines"][0]["x"], (json{0, 50, 100}));
  EXPECT_EQ(points["lines"][0]["y"], (json{2, 4, 3}));
  // The axis is 4 % of the range longer, at each end.
  EXPECT_NEAR(points["y"][0].get<double>(), 1.92, 1e-9);
  EXPECT_NEAR(points["y"][1].get<double>(), 4.08, 1e-9);
  EXPECT_THAT(html, HasSubstr("d=\"M0.0 963.0L500.0 37.0L1000.0 500.0\""));
  EXPECT_THAT(html, HasSubstr("<span class=\"tick y\" style=\"top:50.00%\">3.0</span>"));
  EXPECT_THAT(html, HasSubstr("<span class=\"tick x\" style=\"left:20.00%\">20</span>"));
}

TEST(ChartTest, GapsAndLonePoints) {
  const Curve curve{{1, 2, 3, 4, 5}, {1.0, 2.0, NAN, INFINITY, 1.0}};
  const std::string html = chart_html(chart_with({{"name", curve}}));
  EXPECT_THAT(html, HasSubstr("d=\"M0.0 963.0L250.0 37.0M1000.0 963.0h0\""));
  EXPECT_EQ(points_of(html)["lines"][0]["x"], (json{1, 2, 5}));
}

TEST(ChartTest, NothingToDrawIsNoChart) {
  EXPECT_EQ(chart_html(chart_with({})), "");
  EXPECT_EQ(chart_html(chart_with({{"name", {{1, 2}, {NAN, NAN}}}})), "");
}

TEST(ChartTest, MarksAlone) {
  const Curve missing{{1, 2}, {NAN, NAN}};
  const std::string html =
      chart_html(chart_with({{"a", missing}, {"b", missing, LineStyle::Marks}}));
  EXPECT_THAT(html, HasSubstr("class=\"marks color0\" d=\"M0.0 1000v-30M1000.0 1000v-30\""));
  EXPECT_EQ(points_of(html)["lines"].size(), 0u);
}

TEST(ChartTest, LogarithmicOnlyWhereItCanBe) {
  const auto logarithmic = [](std::vector<double> y) {
    Chart chart = chart_with({{"name", {{1, 2}, std::move(y)}}});
    chart.may_be_logarithmic = true;
    return points_of(chart_html(chart))["logarithmic"].get<bool>();
  };
  EXPECT_TRUE(logarithmic({1.0, 100.0}));
  EXPECT_FALSE(logarithmic({1.0, 99.0}));
  EXPECT_FALSE(logarithmic({0.0, 100.0}));
  EXPECT_FALSE(logarithmic({-1.0, 100.0}));
}

TEST(ChartTest, NamesCannotEndTheScript) {
  const std::string html =
      chart_html(chart_with({{"</script><b>", {{1}, {1}}}, {"\xff", {{1}, {1}}}}));
  EXPECT_EQ(points_of(html)["lines"][0]["name"], "</script><b>");
  EXPECT_THAT(html, HasSubstr("&lt;/script&gt;&lt;b&gt;</li>"));
  EXPECT_THAT(html, Not(HasSubstr("<b>")));
}

TEST(ChartTest, ManyPointsBecomeAThousand) {
  Curve curve;
  for (int i = 0; i < 100000; ++i) curve.add(i, i == 77777 ? 9.0 : 1.0);
  const json line = points_of(chart_html(chart_with({{"name", curve}})))["lines"][0];
  EXPECT_LE(line["x"].size(), 1000u);
  EXPECT_GE(line["x"].size(), 500u);
  const std::vector<double> y = line["y"];
  const auto spike = std::max_element(y.begin(), y.end());
  EXPECT_EQ(*spike, 9.0);
  EXPECT_EQ(line["x"][spike - y.begin()], 77777);
}

RunRecord small_run(const std::string& name, double lr) {
  RunRecord run(name);
  run.set_settings({{"preset", "nano"}, {"lr", lr}, {"data", "a<b>&\"c\""}}, "config");
  run.add_step({{"step", 1}, {"loss", 3.0}, {"lr", lr}}, "line");
  run.add_step({{"step", 2}, {"lr", lr}, {"val_loss", 3.5}}, "line");
  run.add_sample({{"step", 2}, {"text", "</pre><script>alert(1)</script>"}}, "line");
  return run;
}

TEST(PageTest, NeedsNothingButItself) {
  std::istringstream page(report_page({small_run("run", 0.5)}));
  for (std::string line; std::getline(page, line);) {
    const auto start = line.find_first_not_of(' ');
    if (start != std::string::npos && line.compare(start, 2, "//") == 0) continue;  // a comment
    for (const char* outside : {"//", "src=", "href=", "@import", "url("})
      EXPECT_THAT(line, Not(HasSubstr(outside)));
  }
}

TEST(PageTest, TextOfARunIsShownNotObeyed) {
  const std::string page = report_page({small_run("<i>run", 0.5), small_run("b", 0.25)});
  EXPECT_THAT(page, HasSubstr("&lt;/pre&gt;&lt;script&gt;alert(1)&lt;/script&gt;</pre>"));
  EXPECT_THAT(page, HasSubstr("a&lt;b&gt;&amp;&quot;c&quot;"));
  EXPECT_THAT(page, Not(HasSubstr("<i>run")));
}

TEST(PageTest, SaysWhatDiffers) {
  const std::string page = report_page({small_run("a", 0.5), small_run("b", 0.25)});
  EXPECT_THAT(page, HasSubstr("<tr class=\"differs\"><th>lr</th><td>0.5</td><td>0.25</td></tr>"));
  EXPECT_THAT(page, HasSubstr("<tr><th>preset</th><td>nano</td><td>nano</td></tr>"));
  EXPECT_EQ(between(page, "class=\"differs\"", ">").size(), 1u);
}

TEST(PageTest, TheLossIsWide) {
  const std::string page = report_page({small_run("a", 0.5)});
  EXPECT_THAT(page, HasSubstr("<figure class=\"chart wide\">\n<figcaption>Loss "));
  EXPECT_EQ(between(page, "<figure class=\"chart wide\">", "\n").size(), 1u);
}

TEST(PageTest, MissingLossesAreMarked) {
  EXPECT_THAT(report_page({small_run("a", 0.5)}), HasSubstr("not finite at 1 step</li>"));
}

TEST(PageTest, WithoutStepsThereIsNoReport) {
  EXPECT_THAT(error_of([] { report_page({}); }), HasSubstr("expected at least one"));
  EXPECT_THAT(error_of([] { report_page({RunRecord("empty")}); }),
              HasSubstr("the run empty has made no step yet"));
}

}  // namespace
}  // namespace shardgrad
