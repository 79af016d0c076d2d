# SPDX-License-Identifier: MIT
"""Results for people: tables in Markdown, and a plot in SVG."""

import math
from html import escape

# ---- tables ----


def tables(results):
    return "\n".join(
        [
            f"{results['count']:,} messages of 300 bytes; medians of {results['rounds']} rounds; "
            f"{results['machine']['processors']} processors\n",
            *throughput_table(results["stores"]),
            *poison_table(results["stores"]),
            *latency_table(results["stores"]),
            *worker_table(results["stores"]),
            *claims_table(results["claims"]),
        ]
    )


def table(columns, rows):
    """The first column is text, the others are numbers."""
    yield f"| {' | '.join(columns)} |"
    yield f"|---|{'---:|' * (len(columns) - 1)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"
    yield ""


def throughput_table(stores):
    columns = ["", "messages/s", "of raw", "of both at once", "worker", "broker", "database"]
    rows = []
    for store, result in stores.items():
        for kind, runs in result["throughput"].items():
            for what, run in runs.items():
                cpu = [run.get(f"{who}_cpu") for who in ("worker", "broker", "database")]
                rows.append(
                    [
                        f"{store}, {kind}, {what}",
                        f"{run['rate']:,.0f}",
                        *(f"{run[of]:.2f}" if of in run else "" for of in ("of_raw", "of_both")),
                        *("" if seconds is None else f"{seconds * 1e6:.0f} µs" for seconds in cpu),
                    ]
                )
    return table(columns, rows)


def poison_table(stores):
    columns = ["relay, one row in a hundred is poison", "messages/s", "without", "of it"]
    rows = []
    for store, result in stores.items():
        rates = result["poison"]
        both = [f"{rates[what]:,.0f}" for what in ("with", "without")]
        rows.append([store, *both, f"{rates['with'] / rates['without']:.2f}"])
    return table(columns, rows)


def latency_table(stores):
    columns = ["from commit until", "asked/s", "reached/s"]
    rows = []
    for title, rate, latency in all_latencies(stores):
        for what, end in ("arrived", "with another client"), ("published", "row published"):
            if what in latency:
                values = latency[what]
                rows.append(
                    [
                        f"{title}, {end}",
                        f"{rate:,}",
                        f"{latency['rate']:,.0f}",
                        *(f"{seconds * 1e3:.2f} ms" for seconds in values.values()),
                    ]
                )
    return table(columns + list(values), rows)


def all_latencies(stores):
    """Of what, at which rate asked for, and what was measured."""
    for store, result in stores.items():
        for kind, by_rate in result["latency"].items():
            for rate, latency in by_rate.items():
                yield f"{store}, {kind}", int(rate), latency


def worker_table(stores):
    workers = [result["worker"] for result in stores.values()]
    lines = {
        "start to first confirm": lambda w: f"{w['start_to_first_confirm'] * 1e3:.0f} ms",
        "RssAnon, idle": lambda w: f"{w['idle']['rss_anon_kib']:,} KiB",
        "RssAnon, messages of 4 KiB": lambda w: f"{w['load']['rss_anon_kib']:,} KiB",
        "processor, idle": lambda w: f"{w['idle']['cpu']:.2%}",
    }
    rows = [[what, *map(show, workers)] for what, show in lines.items()]
    return table(["one worker, both lanes", *stores], rows)


CLAIM_TIMES = [("next", "median"), ("next", "longest"), ("all", "median"), ("all", "longest")]


def claims_table(claims):
    columns = ["a claim of 500 rows, PostgreSQL", *(f"{kind}: {of}" for kind, of in CLAIM_TIMES)]
    rows = (
        [what, *(f"{run[kind][of] * 1e3:.1f} ms" for kind, of in CLAIM_TIMES)]
        for what, run in claims.items()
    )
    return table(columns, rows)


# ---- the plot: rates as bars, latencies as dots ----

WIDTH = 860
LEFT = 260  # where bars and axes begin
RIGHT = WIDTH - 90
LINE = 18
COLOURS = {
    "raw publish": "#b8c4d0",
    "relay": "#2f6fab",
    "raw consume": "#b8c4d0",
    "raw insert": "#b8c4d0",
    "intake": "#2a8c5a",
    "p50": "#2a8c5a",
    "p99": "#d08a1d",
    "p99.9": "#b8402f",
}
DECADES = range(-4, 1)  # seconds, as powers of ten


class Drawing:
    """Grows downwards, a line at a time."""

    def __init__(self):
        self.y = 10
        self.shapes = []

    def down(self, lines=1):
        self.y += lines * LINE

    def text(self, x, text, anchor="start", weight="normal"):
        self.shapes.append(
            f'<text x="{x:.1f}" y="{self.y + 12}" text-anchor="{anchor}" font-weight="{weight}">'
            f"{escape(text)}</text>"
        )

    def bar(self, share, colour):
        self.shapes.append(
            f'<rect x="{LEFT}" y="{self.y + 2}" width="{share * (RIGHT - LEFT):.1f}"'
            f' height="{LINE - 4}" fill="{colour}"/>'
        )

    def dot(self, share, colour):
        x = LEFT + share * (RIGHT - LEFT)
        self.shapes.append(f'<circle cx="{x:.1f}" cy="{self.y + 8}" r="5" fill="{colour}"/>')

    def grid(self, share, lines):
        x = LEFT + share * (RIGHT - LEFT)
        bottom = self.y + lines * LINE
        self.shapes.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{self.y}" y2="{bottom}" stroke="#dddddd"/>'
        )

    def svg(self):
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {self.y + 10}"'
            ' font-family="sans-serif" font-size="12" fill="#333333">'
        )
        background = '<rect width="100%" height="100%" fill="#ffffff"/>'
        return "\n".join([head, background, *self.shapes, "</svg>", ""])


def plot(results):
    drawing = Drawing()
    draw_rates(drawing, results["stores"])
    draw_latencies(drawing, results["stores"])
    return drawing.svg()


def draw_rates(drawing, stores):
    runs = [
        (f"{store}, {kind}", result["throughput"][kind])
        for store, result in stores.items()
        for kind in result["throughput"]
    ]
    most = max(run["rate"] for _, group in runs for run in group.values())
    drawing.text(10, "Messages a second, beside bare loops on the same servers", weight="bold")
    drawing.down(1.5)
    for title, group in runs:
        drawing.text(10, title)
        drawing.down()
        for what in (name for name in COLOURS if name in group):
            run = group[what]
            share = run["rate"] / most
            drawing.text(LEFT - 8, what, "end")
            drawing.bar(share, COLOURS[what])
            ratio = f"  ({run['of_raw']:.2f})" if "of_raw" in run else ""
            drawing.text(LEFT + share * (RIGHT - LEFT) + 6, f"{run['rate']:,.0f}{ratio}")
            drawing.down()
        drawing.down(0.5)


def draw_latencies(drawing, stores):
    drawing.down()
    title = "From commit until another client has the message (MQTT: until the row is published)"
    drawing.text(10, title, weight="bold")
    for n, name in enumerate(("p50", "p99", "p99.9")):
        drawing.text(RIGHT - 150 + n * 55, f"● {name}")
        drawing.shapes[-1] = drawing.shapes[-1].replace("<text", f'<text fill="{COLOURS[name]}"')
    drawing.down(1.5)
    lines = [
        (f"{title}, {rate:,}/s", latency.get("arrived", latency["published"]))
        for title, rate, latency in all_latencies(stores)
    ]
    for decade in DECADES:
        drawing.grid(along(10**decade), len(lines))
    for title, values in lines:
        drawing.text(LEFT - 8, title, "end")
        for name, seconds in values.items():
            drawing.dot(along(seconds), COLOURS[name])
        drawing.down()
    for decade in DECADES:
        x = LEFT + along(10**decade) * (RIGHT - LEFT)
        drawing.text(x, f"{10**decade * 1e3:g} ms", "middle")
    drawing.down()


def along(seconds):
    """Where on the axis, from 0 to 1."""
    first, last = DECADES[0], DECADES[-1]
    place = (math.log10(max(seconds, 10.0**first)) - first) / (last - first)
    return min(place, 1)
