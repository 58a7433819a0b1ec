"""From runs to tables: medians with their spread, and ratios against the baseline of the same run."""

import os
import platform
import statistics
from datetime import datetime, timezone
from pathlib import Path

from . import figures, targets
from .figures import pick
from .scenarios import SCENARIOS

BASELINE = "gorilla"
# Above this many cores of foreign work a run's times say little.
NOISY_CORES = 0.25


def machine():
    """What the figures were measured on."""
    cpu = next(
        (line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
         if line.startswith("model name")),
        "unknown CPU",
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "memory_gib": round(memory, 1),
        "kernel": platform.release().split("-")[0],
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
    }


def tables(result):
    """A table for each kind of work in Markdown, a peer in each row."""
    parts = []
    for scenario in SCENARIOS:
        by_peer = {peer: runs for peer, runs in result["runs"].get(scenario.name, {}).items() if runs}
        if not by_peer:
            continue
        head = " | ".join(f"{figure.title}, {figure.unit}" for figure in scenario.figures)
        lines = [f"**{scenario.title}**", "", f"| | {head} |", "|---" * (1 + len(scenario.figures)) + "|"]
        for peer, runs in by_peer.items():
            cells = " | ".join(cell(runs, by_peer.get(BASELINE, []), peer, figure.key) for figure in scenario.figures)
            lines.append(f"| {peer} | {cells} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def cell(runs, baseline, peer, key):
    """`median (lowest-highest) ×ratio`; the ratio is of medians, against the baseline."""
    values, base = values_of(runs, key), values_of(baseline, key)
    if not values:
        return "failed" if any("error" in run for run in runs) else "–"
    median = statistics.median(values)
    text = number(median)
    if len(values) > 1:
        text += f" ({number(min(values))}-{number(max(values))})"
    if base and peer != BASELINE and statistics.median(base) > 0:
        text += f" **×{median / statistics.median(base):.2f}**"
    return text


def values_of(runs, key):
    return [value for run in runs if (value := pick(run, key)) is not None]


def number(value):
    """Three significant digits, thousands as k."""
    if value >= 10_000:
        return f"{value / 1000:,.0f}k"
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def remarks(result):
    """What a reader must know before believing the table: failures, differences, losses, noise."""
    lines = []
    noise = []
    for scenario, by_peer in result["runs"].items():
        for peer, peer_runs in by_peer.items():
            for run in peer_runs:
                if "error" in run:
                    lines.append(f"{peer}, {scenario}: {run['error']}")
                    continue
                noise.append(run["circumstances"]["others_cores"])
                if run["totals"]["lost_by_code"]:
                    lines.append(f"{peer}, {scenario}: the server ended connections {run['totals']['lost_by_code']}")
                if run["difference"]:
                    lines.append(f"{peer}, {scenario}: counts differ {run['difference']}")
                if is_overloaded(run):
                    lines.append(
                        f"{peer}, {scenario}: did not keep up with the offered rate, so its latency is that of a growing queue"
                    )
    lines = [f"{line} ({lines.count(line)} times)" if lines.count(line) > 1 else line for line in dict.fromkeys(lines)]
    if noise:
        noisy = sum(cores > NOISY_CORES for cores in noise)
        lines.append(
            f"Other processes used {statistics.median(noise):.2f} cores (median; at most {max(noise):.2f}) during the "
            f"{len(noise)} runs; {noisy} runs saw more than {NOISY_CORES} and are noisy."
        )
    return lines


def is_overloaded(run):
    """At a fixed rate, whether fewer than 98 % of the offered messages were done in the window."""
    rate = run.get("rate")
    if not rate:
        return False
    fan = run["connections"] if "publications" in run else 1
    return run["window"]["work_per_second"] < 0.98 * rate * fan


def document(result, with_charts=False):
    """The generated part of docs/performance.md. With charts it writes their files, too."""
    facts = result["machine"]
    versions = [f"- {peer}: {version}" for peer, version in result["versions"].items()]
    left_out = [f"- {peer}: left out, {reason}" for peer, reason in result["left_out"].items()]
    parts = [
        f"Measured {facts['date']} on {facts['cores']} cores ({facts['cpu']}), {facts['memory_gib']} GiB, "
        f"Linux {facts['kernel']}; {result['rounds']} interleaved rounds, windows of {result['seconds']} s.",
        "\n".join(versions + left_out),
    ]
    if aims := targets.table(result):
        parts += ["### The aims", aims, "A ratio is taken in each round, of runs that stood side by side."]
    if with_charts and (shown := figures.draw(result)):
        parts += ["### In pictures", shown]
    parts += [
        "### All figures", tables(result),
        "Each cell: the median of the rounds, in brackets the lowest and the highest, "
        f"in bold the median as a multiple of {BASELINE}'s in the same run. A peer that cannot do a kind of work is "
        "not in its table.",
        "\n".join(f"- {line}" for line in remarks(result)),
    ]
    return "\n\n".join(parts) + "\n"


def replace_generated(path, name, text):
    """Puts `text` between the markers `<!-- NAME:begin -->` and `<!-- NAME:end -->` of a file."""
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    old = path.read_text()
    if begin not in old or end not in old:
        raise SystemExit(f"{path} has no markers {begin} … {end}")
    head, tail = old.split(begin, 1)[0], old.split(end, 1)[1]
    path.write_text(f"{head}{begin}\n{text}{end}{tail}")
