"""The charts of docs/performance.md: which figures each shows, and what it says to who cannot see it."""

import json
import statistics

from .building import BENCH, ROOT
from .charts import Bars, Quantiles, chart, short
from .scenarios import CPU, SCENARIOS

IMAGES = ROOT / "docs/images"
TELEMETRY = BENCH / "results/telemetry.json"
PER_DELIVERY = "µs of server CPU per delivery"
LATENCY = "ms since the message was due (logarithmic)"
QUANTILES = ("latency.p50_ms", "latency.p99_ms", "latency.p999_ms")


def draw(result):
    """Writes the charts for what was measured and gives the lines of Markdown that show them. Telemetry's cost was
    measured before, by another program.
    """
    lines = [
        bars(result, "performance-cpu", "Server CPU", PER_DELIVERY,
             [(name, CPU) for name in ("fanout-20", "fanout-100", "fanout-max", "deflate-100")], columns=2),
        quantiles(result, "performance-latency", ("echo-rate", "fanout-100")),
        bars(result, "performance-memory", "Memory", "KiB per idle connection",
             [("idle", "kib_per_connection")], columns=1, limit=1.5),
        telemetry_cost(),
    ]
    return "\n\n".join(line for line in lines if line)


def telemetry_cost():
    """The chart of what bench/telemetry-cost has written: {work: [instructions without, instructions with]}."""
    if not TELEMETRY.exists():
        return None
    panels, words = [], []
    for title, (without, with_it) in json.loads(TELEMETRY.read_text()).items():
        percent = f"{(with_it / without - 1) * 100:+.1f} %"
        panels.append(Bars(f"{title}: {percent}", "user-space instructions", (("without", without), ("with", with_it))))
        words.append(f"{title}: {without:,.0f} without, {with_it:,.0f} with, {percent}")
    return save("performance-telemetry", chart(panels, 1), f"Instructions with and without telemetry. {'; '.join(words)}")


def bars(result, file, subject, axis, figures, columns, limit=None):
    panels, words = [], []
    for name, key in figures:
        rows = medians(result, name, (key,))
        if rows:
            panels.append(Bars(short_title(name), axis, tuple(rows), limit))
            words.append(f"{short_title(name)}: " + ", ".join(f"{peer} {short(value)}" for peer, value in rows))
    aim = f"; the dashed line is the aim, {limit:g}" if limit else ""
    return panels and save(file, chart(panels, columns), f"{subject}, {axis}{aim}. {'; '.join(words)}")


def quantiles(result, file, names):
    panels, words = [], []
    for name in names:
        rows = medians(result, name, QUANTILES)
        if rows:
            panels.append(Quantiles(short_title(name), LATENCY, tuple(rows)))
            words.append(f"{short_title(name)}: " + ", ".join(
                f"{peer} {' / '.join(short(value) for value in values)}" for peer, *values in rows))
    return panels and save(file, chart(panels, 1), f"Latency p50 / p99 / p99.9 in ms. {'; '.join(words)}")


def medians(result, scenario, keys):
    """(peer, median of each key) for the peers that have them all, the greatest first."""
    rows = []
    for peer, runs in result["runs"].get(scenario, {}).items():
        columns = [[value for run in runs if (value := pick(run, key)) is not None] for key in keys]
        if all(columns):
            rows.append((peer, *(statistics.median(column) for column in columns)))
    return sorted(rows, key=lambda row: -row[-1])


def pick(run, key):
    """The value at a dotted key, or None when the run failed or has none."""
    for part in key.split("."):
        if not isinstance(run, dict) or run.get(part) is None:
            return None
        run = run[part]
    return run


def short_title(name):
    """What a scenario does, in a few words."""
    return next(scenario.title for scenario in SCENARIOS if scenario.name == name)


def save(name, svg, words):
    """Writes a chart and gives the Markdown that shows it."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    (IMAGES / f"{name}.svg").write_text(svg)
    return f"![{words}](images/{name}.svg)"
