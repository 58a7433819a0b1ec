"""The numbers to reach, judged within one run: ratios of rounds that stood side by side."""

import statistics
from dataclasses import dataclass

from .figures import pick
from .scenarios import CPU, PER_SECOND

SUBJECT = "gaugeway"
FIRST_CHOICE, SECOND_CHOICE = "uwebsockets", "gorilla"


@dataclass(frozen=True)
class Target:
    """What one figure of the gateway is to be, as a multiple of a peer's or by itself."""

    title: str
    scenario: str
    key: str
    # Multiples of uWebSockets' figure, and of gorilla's where uWebSockets is not there.
    ratio: float | None = None
    ratio_to_second: float | None = None
    # Or a number in the figure's own unit, or so much more than uWebSockets'.
    absolute: float | None = None
    above: float | None = None
    unit: str = ""
    at_least: bool = False


TARGETS = (
    Target("RSS per idle connection", "idle", "kib_per_connection", absolute=1.5, ratio_to_second=0.065, unit="KiB"),
    Target("handshake: CPU", "handshake", CPU, absolute=30.0, unit="µs"),
    Target("handshake: CPU, then", "handshake", CPU, above=5.0, unit="µs"),
    Target("echo, closed loop: CPU per message", "echo", CPU, ratio=1.15, ratio_to_second=0.27),
    Target("fan-out 20/s: CPU per delivery", "fanout-20", CPU, ratio=1.0, ratio_to_second=0.55),
    Target("fan-out 100/s: CPU per delivery", "fanout-100", CPU, ratio=1.0, ratio_to_second=0.66),
    Target("fan-out 100/s: p99", "fanout-100", "latency.p99_ms", ratio=1.0),
    Target("fan-out saturated: CPU per delivery", "fanout-max", CPU, ratio=1.0, ratio_to_second=0.21),
    Target("fan-out saturated: deliveries per second", "fanout-max", PER_SECOND, ratio=1.0, at_least=True),
    Target("fan-out saturated: deliveries per second, then", "fanout-max", PER_SECOND, ratio=1.5, at_least=True),
    Target("fan-out deflated 100/s: CPU per delivery", "deflate-100", CPU, ratio=0.8, ratio_to_second=0.58),
)


def table(result):
    """The targets that this run can judge, in Markdown; empty when there is none."""
    lines = [line for target in TARGETS if (line := row(target, result))]
    if not lines:
        return ""
    head = "| work | aim | measured: median (lowest-highest) of the rounds | met |\n|---|---|---|---|\n"
    return head + "\n".join(lines)


def row(target, result):
    judged = judge(target, result)
    if judged is None:
        return None
    aim, values, limit, unit = judged
    median = statistics.median(values)
    met = median >= limit if target.at_least else median <= limit
    digits = 2 if not unit or unit == "KiB" else 1
    spread = f" ({min(values):.{digits}f}-{max(values):.{digits}f})" if len(values) > 1 else ""
    return f"| {target.title} | {aim} | {median:.{digits}f}{spread}{unit and ' ' + unit} | {'yes' if met else '**no**'} |"


def judge(target, result):
    """(aim in words, one value per round, its limit, unit), or None where the run has not what it takes."""
    sign = "≥" if target.at_least else "≤"
    if target.absolute is not None:
        values = [ours for ours, _ in rounds(target, result, SUBJECT)]
        return values and (f"{sign} {target.absolute:g} {target.unit}", values, target.absolute, target.unit) or None
    paired = rounds(target, result, FIRST_CHOICE)
    if target.above is not None:
        values = [ours - theirs for ours, theirs in paired]
        aim = f"{sign} {FIRST_CHOICE} + {target.above:g} {target.unit}"
        return values and (aim, values, target.above, f"{target.unit} above it") or None
    baseline, limit = FIRST_CHOICE, target.ratio
    if not paired and target.ratio_to_second is not None:
        baseline, limit = SECOND_CHOICE, target.ratio_to_second
        paired = rounds(target, result, SECOND_CHOICE)
    values = [ours / theirs for ours, theirs in paired if theirs]
    return values and (f"{sign} {limit:g} × {baseline}", values, limit, "") or None


def rounds(target, result, peer):
    """(ours, theirs) of each round in which both were measured."""
    by_peer = result["runs"].get(target.scenario, {})
    pairs = zip(by_peer.get(SUBJECT, ()), by_peer.get(peer, ()))
    values = [(pick(ours, target.key), pick(theirs, target.key)) for ours, theirs in pairs]
    return [(ours, theirs) for ours, theirs in values if ours is not None and theirs is not None]
