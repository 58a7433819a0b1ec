"""Small multiples of how cost grows, as one SVG: a panel per curve, both axes logarithmic, the fitted line beneath."""

import math
from xml.sax.saxutils import escape

from .charts import LINES, OURS, WORDS

COLUMNS = 3
PANEL_WIDTH, PANEL_HEIGHT = 300, 210
LEFT, RIGHT, TOP, BOTTOM = 58, 16, 44, 40
# Mid grey for all words, as in the other charts: a page's own dark theme does not reach into its pictures.
STYLE = f"""
text {{ font: 12px system-ui, sans-serif; fill: {WORDS}; }}
.title {{ font-weight: 600; }}
.small {{ font-size: 10px; }}
.frame {{ fill: none; stroke: {LINES}; stroke-opacity: 0.5; }}
.grid {{ stroke: {LINES}; stroke-opacity: 0.25; }}
.fit {{ stroke: {LINES}; stroke-dasharray: 4 3; fill: none; }}
.line {{ stroke: {OURS}; fill: none; stroke-width: 1.5; }}
.dot {{ fill: {OURS}; }}
"""


def draw(curves):
    """The SVG of curves: objects with `title`, `unit`, `of`, `points` (pairs), `exponent` and `factor` of the fit."""
    rows = math.ceil(len(curves) / COLUMNS)
    width, height = COLUMNS * PANEL_WIDTH, rows * PANEL_HEIGHT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">',
        "<title>How cost grows</title>",
        f"<style>{STYLE}</style>",
    ]
    for index, curve in enumerate(curves):
        x, y = index % COLUMNS * PANEL_WIDTH, index // COLUMNS * PANEL_HEIGHT
        parts += [f'<g transform="translate({x} {y})">', *panel(curve), "</g>"]
    return "\n".join([*parts, "</svg>", ""])


class Axis:
    """A logarithmic scale over at least a decade, from whole steps to whole steps."""

    def __init__(self, values, start, end, span_min):
        low, high = math.log10(min(values)), math.log10(max(values))
        spare = max(0.0, span_min - (high - low)) / 2
        self.low, self.high = low - spare - 0.06, high + spare + 0.06
        self.start, self.end = start, end

    def place(self, value):
        share = (math.log10(value) - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)

    def ticks(self):
        powers = range(math.floor(self.low), math.ceil(self.high) + 1)
        every = [step * 10.0**power for power in powers for step in (1, 2, 5)]
        inside = [value for value in every if self.low <= math.log10(value) <= self.high]
        return inside if len(inside) <= 6 else [value for value in inside if f"{value:e}"[0] == "1"]


def panel(curve):
    xs, ys = zip(*curve.points)
    fitted = [(x, curve.factor * x**curve.exponent) for x in (min(xs), max(xs))]
    x_axis = Axis(xs, LEFT, PANEL_WIDTH - RIGHT, 1.0)
    # A decade at least, so that noise on a flat curve does not look like a mountain.
    y_axis = Axis([*ys, *(y for _, y in fitted)], PANEL_HEIGHT - BOTTOM, TOP, 1.0)
    right, floor = PANEL_WIDTH - RIGHT, PANEL_HEIGHT - BOTTOM
    yield f'<text class="title" x="{LEFT}" y="18">{escape(curve.title)}</text>'
    yield f'<text class="small" x="{LEFT}" y="34">{escape(curve.unit)}; exponent {curve.exponent:+.2f}</text>'
    for value in y_axis.ticks():
        y = y_axis.place(value)
        yield f'<path class="grid" d="M{LEFT} {y}H{right}"/>'
        yield f'<text class="small" text-anchor="end" x="{LEFT - 6}" y="{y + 3:.1f}">{label(value)}</text>'
    for value in x_axis.ticks():
        x = x_axis.place(value)
        yield f'<path class="grid" d="M{x} {TOP}V{floor}"/>'
        yield f'<text class="small" text-anchor="middle" x="{x}" y="{floor + 14}">{label(value)}</text>'
    yield f'<text class="small" text-anchor="end" x="{right}" y="{floor + 28}">{escape(curve.of)}</text>'
    yield f'<rect class="frame" x="{LEFT}" y="{TOP}" width="{right - LEFT}" height="{floor - TOP}"/>'
    for name, points in (("fit", fitted), ("line", curve.points)):
        path = " ".join(f"{x_axis.place(x)},{y_axis.place(y)}" for x, y in points)
        yield f'<polyline class="{name}" points="{path}"/>'
    for x, y in curve.points:
        yield f'<circle class="dot" cx="{x_axis.place(x)}" cy="{y_axis.place(y)}" r="3"/>'


def label(value):
    if value >= 1000:
        return f"{value / 1000:g}k"
    return f"{value:g}"
