#!/usr/bin/env python3
"""Reads the report.html of training runs with Python's own parser, and compares its curves with metrics.jsonl.

    python3 tests/report/check_report.py runs/eigen [more folders of runs]      # no test needs this

Checks that tags are balanced, that nothing comes from outside, that every chart has curves of at most 1,000 points that
lie within its axes, and that the points of the training loss, its lowest and highest among them, are those of the run.
"""
import json
import math
import os
import sys
from html.parser import HTMLParser

VOID = {"meta", "br", "path"}
CURVES = {"Learning rate": "lr", "Gradient norm": "grad_norm", "Throughput": "tokens_per_second",
          "Model flops utilization": "mfu", "training": "loss", "validation": "val_loss"}


class Page(HTMLParser):
    """The problems of a page, and the data of its charts."""

    def __init__(self):
        super().__init__()
        self.open, self.problems, self.charts, self.scripts = [], [], [], 0
        self.is_data = False

    def handle_startendtag(self, tag, attributes):
        if tag not in VOID:
            self.problems.append(f"<{tag}/> is no void element")

    def handle_starttag(self, tag, attributes):
        self.open.append(tag)
        names = dict(attributes)
        self.problems += [f"<{tag} {name}> may load something" for name in ("src", "href", "srcset") if name in names]
        self.is_data = tag == "script" and names.get("type") == "application/json"
        self.scripts += tag == "script" and not self.is_data
        if tag not in ("html", "head", "title", "style", "body", "h1", "h2", "p", "div", "dl", "dt", "dd", "small", "table",
                       "thead", "tbody", "tr", "th", "td", "i", "figure", "figcaption", "ul", "li", "svg", "span",
                       "script", "details", "summary", "pre"):
            self.problems.append(f"<{tag}> is not expected")

    def handle_endtag(self, tag):
        self.is_data = False
        if not self.open or self.open.pop() != tag:
            self.problems.append(f"</{tag}> at {self.getpos()} closes nothing")

    def handle_data(self, data):
        if self.is_data:
            self.charts.append(json.loads(data))
        if self.open and self.open[-1] == "style" and ("url(" in data or "@import" in data):
            self.problems.append("the style sheet may load something")


def problems_of_chart(chart, metrics):
    (left, right), (low, high) = chart["x"], chart["y"]
    for line in chart["lines"]:
        name, x, y = line["name"], line["x"], line["y"]
        if not 0 < len(x) == len(y) <= 1000:
            yield f"{name} has {len(x)} and {len(y)} coordinates"
        if x != sorted(set(x)) or not (left <= x[0] and x[-1] <= right):
            yield f"the steps of {name} do not rise, or leave the axis"
        if not all(math.isfinite(value) and low <= value * (1 + 1e-5) and value * (1 - 1e-5) <= high for value in y):
            yield f"{name} leaves the axis"
        key = CURVES.get(name)
        if key is None:
            continue
        values = {line["step"]: line[key] for line in metrics if key in line}
        if not all(step in values and math.isclose(values[step], value, rel_tol=1e-5) for step, value in zip(x, y)):
            yield f"{name} has points that are not in metrics.jsonl"
        if not (math.isclose(max(y), max(values.values()), rel_tol=1e-5) and
                math.isclose(min(y), min(values.values()), rel_tol=1e-5)):
            yield f"{name} lacks the lowest or the highest point"


def problems_of_run(run):
    page = Page()
    with open(os.path.join(run, "report.html"), encoding="utf-8") as file:
        page.feed(file.read())
    page.close()
    with open(os.path.join(run, "metrics.jsonl"), encoding="utf-8") as file:
        metrics = [json.loads(line) for line in file]
    yield from page.problems
    if page.open:
        yield f"{page.open} are not closed"
    if page.scripts != 1:
        yield f"there are {page.scripts} scripts"
    names = {line["name"] for chart in page.charts for line in chart["lines"]}
    for name, key in CURVES.items():
        if any(key in line for line in metrics) and not any(name in found for found in names):
            yield f"there is no curve {name}"
    for chart in page.charts:
        yield from problems_of_chart(chart, metrics)


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    failed = False
    for run in sys.argv[1:]:
        found = list(problems_of_run(run))
        failed = failed or bool(found)
        print(f"{run}: {'; '.join(found) if found else 'the report shows the run'}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
