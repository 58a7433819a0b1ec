"""Charts as SVG, made by hand: one width, mid grey for all words, so that they read on white and on black."""

import math
from dataclasses import dataclass
from xml.sax.saxutils import escape

WIDTH = 720
MARGIN = 8
ROW = 22
BAR = 14
LABELS = 88  # where names of peers stand
VALUES = 62  # where figures stand, behind the longest bar
HEAD = 28
FOOT = 44
SMALLEST = 1e-3  # what a logarithmic axis shows of zero: the client counts whole microseconds
WORDS, LINES, OTHERS, OURS = "#7d8590", "#8b949e", "#8b949e", "#2f81f7"


@dataclass(frozen=True)
class Bars:
    """A panel of bars: one row for each (name, value)."""

    title: str
    axis: str
    rows: tuple
    limit: float | None = None  # a line at what is aimed at

    def height(self):
        return HEAD + ROW * len(self.rows) + FOOT

    def draw(self, x, y, width):
        left, right = x + LABELS, x + width - VALUES
        bottom = y + HEAD + ROW * len(self.rows)
        top_value = max([value for _, value in self.rows] + [self.limit or 0]) or 1
        scale = (right - left) / top_value
        parts = [text(x, y + 14, self.title, bold=True)]
        for tick in ticks(top_value, 4 if width > WIDTH / 2 else 3):
            parts += [line(left + tick * scale, y + HEAD - 2, left + tick * scale, bottom, 0.35),
                      text(left + tick * scale, bottom + 16, f"{tick:,g}", anchor="middle")]
        for number, (name, value) in enumerate(self.rows):
            row = y + HEAD + ROW * number
            parts += [
                text(left - 6, row + BAR - 1, name, anchor="end", bold=is_ours(name)),
                f'<rect x="{left:.1f}" y="{row}" width="{max(value * scale, 1):.1f}" height="{BAR}" '
                f'fill="{OURS if is_ours(name) else OTHERS}"/>',
                text(left + value * scale + 5, row + BAR - 1, short(value)),
            ]
        if self.limit is not None:
            at = left + self.limit * scale
            parts.append(f'<line x1="{at:.1f}" y1="{y + HEAD - 6}" x2="{at:.1f}" y2="{bottom}" '
                         f'stroke="{OURS}" stroke-width="1.5" stroke-dasharray="4 3"/>')
        parts.append(text((left + right) / 2, bottom + 34, self.axis, anchor="middle"))
        return parts


@dataclass(frozen=True)
class Quantiles:
    """A panel with a logarithmic axis: one row for each (name, p50, p99, p99.9)."""

    title: str
    axis: str
    rows: tuple

    def height(self):
        return HEAD + ROW * len(self.rows) + FOOT

    def draw(self, x, y, width):
        left, right = x + LABELS, x + width - VALUES
        bottom = y + HEAD + ROW * len(self.rows)
        rows = [(name, *(max(value, SMALLEST) for value in quantiles)) for name, *quantiles in self.rows]
        values = [value for _, *quantiles in rows for value in quantiles]
        low = math.floor(math.log10(min(values)))
        high = max(math.ceil(math.log10(max(values))), low + 1)

        def place(value):
            return left + (math.log10(value) - low) / (high - low) * (right - left)

        parts = [text(x, y + 14, self.title, bold=True), *legend(x + width, y + 14)]
        for power in range(low, high + 1):
            at = place(10**power)
            parts += [line(at, y + HEAD - 2, at, bottom, 0.35), text(at, bottom + 16, f"{10**power:,g}", anchor="middle")]
        for number, (name, *quantiles) in enumerate(rows):
            row = y + HEAD + ROW * number + BAR / 2
            colour = OURS if is_ours(name) else OTHERS
            at = [place(value) for value in quantiles]
            parts += [
                text(left - 6, row + 4, name, anchor="end", bold=is_ours(name)),
                f'<line x1="{at[0]:.1f}" y1="{row}" x2="{at[-1]:.1f}" y2="{row}" stroke="{colour}" stroke-width="2"/>',
                *(mark(kind, spot, row, colour) for kind, spot in enumerate(at)),
                text(at[-1] + 9, row + 4, short(quantiles[-1])),
            ]
        parts.append(text((left + right) / 2, bottom + 34, self.axis, anchor="middle"))
        return parts


def chart(panels, columns):
    """A whole SVG: panels side by side in as many columns, row after row."""
    width = (WIDTH - MARGIN * (columns + 1)) / columns
    parts, y = [], MARGIN
    for start in range(0, len(panels), columns):
        row = panels[start:start + columns]
        for number, panel in enumerate(row):
            parts += panel.draw(MARGIN + number * (width + MARGIN), y, width)
        y += max(panel.height() for panel in row) + MARGIN
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" width="{WIDTH}" height="{y}" '
        f'font-family="system-ui, sans-serif" font-size="12" fill="{WORDS}">\n' + "\n".join(parts) + "\n</svg>\n"
    )


def text(x, y, words, anchor="start", bold=False):
    weight = ' font-weight="600"' if bold else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{weight}>{escape(words)}</text>'


def line(x1, y1, x2, y2, opacity):
    return (f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{LINES}" '
            f'stroke-opacity="{opacity}"/>')


def mark(kind, x, y, colour):
    """A disc for the median, a ring for p99, an upright stroke for p99.9."""
    if kind == 0:
        return f'<circle cx="{x:.1f}" cy="{y}" r="4.5" fill="{colour}"/>'
    if kind == 1:
        return f'<circle cx="{x:.1f}" cy="{y}" r="4" fill="#ffffff" fill-opacity="0.85" stroke="{colour}" stroke-width="2"/>'
    return f'<line x1="{x:.1f}" y1="{y - 6}" x2="{x:.1f}" y2="{y + 6}" stroke="{colour}" stroke-width="2.5"/>'


def legend(right, y):
    parts = []
    for kind, (name, offset) in enumerate((("p50", 170), ("p99", 115), ("p99.9", 60))):
        parts += [mark(kind, right - offset, y - 4, WORDS), text(right - offset + 9, y, name)]
    return parts


def ticks(top, count):
    """Round numbers from 0 up to `top`, about `count` steps."""
    raw = top / count
    power = 10 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw * 0.999)
    return [step * number for number in range(int(top / step + 0.001) + 1)]


def is_ours(name):
    return name == "with" or name.startswith("gaugeway")


def short(value):
    """Three digits at most; thousands as k."""
    if value >= 10_000:
        return f"{value / 1000:,.0f}k"
    for limit, digits in ((100, 0), (10, 1)):
        if value >= limit:
            return f"{value:,.{digits}f}"
    return f"{value:.2f}"
