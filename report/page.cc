#include "report/page.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "report/chart.h"
#include "report/html.h"
#include "report/page_parts.h"
#include "report/run_charts.h"
#include "report/summary.h"
#include "tensor/error.h"

namespace shardgrad {
namespace {

using Runs = std::vector<RunRecord>;

std::string swatch(std::size_t run) {
  return fmt::format("<i class=\"swatch color{}\"></i>", run % kColorCount);
}

std::string title_of(const Runs& runs) {
  return runs.size() == 1 ? runs.front().name() : fmt::format("{} runs", runs.size());
}

std::string facts(const RunRecord& run) {
  std::string html = "<dl class=\"facts\">\n";
  for (const Fact& fact : summary_of(run)) {
    if (fact.value == "none") continue;
    html +=
        fmt::format("<div><dt>{}</dt><dd>{}<small>{}</small></dd></div>\n", html_escaped(fact.name),
                    html_escaped(fact.value), html_escaped(fact.detail));
  }
  return html + "</dl>\n";
}

// The first row of a table with a column for each run.
std::string run_names(const Runs& runs) {
  std::string html = "<thead><tr><th></th>";
  for (std::size_t i = 0; i < runs.size(); ++i)
    html += "<th>" + swatch(i) + html_escaped(runs[i].name()) + "</th>";
  return html + "</tr></thead>\n";
}

std::string row(const std::string& name, const std::vector<std::string>& values, bool mark) {
  const bool differs =
      std::adjacent_find(values.begin(), values.end(), std::not_equal_to<>()) != values.end();
  std::string html = mark && differs ? "<tr class=\"differs\">" : "<tr>";
  html += "<th>" + html_escaped(name) + "</th>";
  for (const std::string& value : values) html += "<td>" + html_escaped(value) + "</td>";
  return html + "</tr>\n";
}

std::string facts_table(const Runs& runs) {
  std::vector<std::vector<Fact>> all;
  for (const RunRecord& run : runs) all.push_back(summary_of(run));
  std::string html = "<div class=\"scroll\"><table>" + run_names(runs) + "<tbody>\n";
  for (std::size_t i = 0; i < all.front().size(); ++i) {
    std::vector<std::string> values;
    for (const std::vector<Fact>& facts : all) {
      const Fact& fact = facts[i];
      values.push_back(fact.value == "none" || fact.detail.empty()
                           ? fact.value
                           : fmt::format("{} ({})", fact.value, fact.detail));
    }
    html += row(all.front()[i].name, values, false);
  }
  return html + "</tbody></table></div>\n";
}

std::string settings(const RunRecord& run) {
  std::string html = "<dl class=\"columns\">\n";
  for (const auto& [name, value] : run.settings()) {
    html +=
        fmt::format("<div><dt>{}</dt><dd>{}</dd></div>\n", html_escaped(name), html_escaped(value));
  }
  return html + "</dl>\n";
}

// Rows in the order of the first run, then what only others have.
std::string settings_table(const Runs& runs) {
  std::vector<std::string> names;
  std::vector<std::map<std::string, std::string>> values;
  for (const RunRecord& run : runs) {
    values.emplace_back(run.settings().begin(), run.settings().end());
    for (const auto& [name, value] : run.settings()) {
      if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
    }
  }
  std::string html = "<div class=\"scroll\"><table>" + run_names(runs) + "<tbody>\n";
  for (const std::string& name : names) {
    std::vector<std::string> cells;
    for (const auto& of_run : values) {
      const auto found = of_run.find(name);
      cells.push_back(found == of_run.end() ? "" : found->second);
    }
    html += row(name, cells, true);
  }
  return html + "</tbody></table></div>\n";
}

// The last one of each run is open.
std::string samples(const Runs& runs) {
  std::string html;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const RunRecord& run = runs[i];
    const std::string name = runs.size() == 1 ? "" : swatch(i) + html_escaped(run.name()) + ", ";
    for (std::size_t j = 0; j < run.samples().size(); ++j) {
      const SampleText& sample = run.samples()[j];
      html += fmt::format("<details{}><summary>{}after step {}</summary><pre>{}</pre></details>\n",
                          j + 1 == run.samples().size() ? " open" : "", name, sample.step,
                          html_escaped(sample.text));
    }
  }
  return html.empty() ? "" : "<h2>Samples</h2>\n" + html;
}

}  // namespace

std::string report_page(const Runs& runs) {
  require(!runs.empty(), "report_page", "there is no run to report about; expected at least one");
  for (const RunRecord& run : runs)
    require(!run.steps().empty(), "report_page", "the run {} has made no step yet", run.name());
  const bool one = runs.size() == 1;
  const std::string title = html_escaped(title_of(runs));
  std::string html =
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n<title>" +
      title + "</title>\n<style>\n" + kPageStyle + "</style>\n</head>\n<body>\n<h1>" + title +
      "</h1>\n<p class=\"lead\">" +
      (one ? "A training run of shardgrad" : "Training runs of shardgrad, compared") + "</p>\n" +
      (one ? facts(runs.front()) : facts_table(runs)) + "<div class=\"charts\">\n";
  for (const Chart& chart : charts_of(runs)) html += chart_html(chart);
  return html + "</div>\n<h2>Settings</h2>\n" +
         (one ? settings(runs.front()) : settings_table(runs)) + samples(runs) + "<script>\n" +
         kPageScript + "</script>\n</body>\n</html>\n";
}

}  // namespace shardgrad
