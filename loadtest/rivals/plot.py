"""Rates over time as one SVG, by hand: a plot is no reason to depend on a library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

WIDTH, HEIGHT, LEFT, BOTTOM, TOP, LEGEND = 900, 420, 70, 40, 30, 250
COLORS = ("#0b6e4f", "#c1292e", "#235789", "#e28413", "#6a4c93", "#555555")


def plot(series: Mapping[str, Sequence[float]], *, slice_seconds: float, title: str, dashed: str) -> str:
    """Draws each series, slices along and jobs a second up; names that end in `dashed` are drawn so."""
    highest = max((value for values in series.values() for value in values), default=1.0) or 1.0
    slices = max((len(values) for values in series.values()), default=1)
    width, height = WIDTH - LEFT - LEGEND, HEIGHT - BOTTOM - TOP

    def point(number: int, value: float) -> str:
        return f"{LEFT + width * (number + 0.5) / slices:.1f},{TOP + height * (1 - value / highest):.1f}"

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        f'font-size="12"><rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="18" font-size="14">{escape(title)}</text>',
    ]
    for step in range(5):
        y = TOP + height * (1 - step / 4)
        parts.append(f'<path d="M{LEFT} {y:.1f}h{width}" stroke="#ddd"/>')
        parts.append(
            f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{highest * step / 4:,.0f}</text>'
        )
    for step in range(0, slices + 1, max(1, slices // 6)):
        x = LEFT + width * step / slices
        parts.append(
            f'<text x="{x:.1f}" y="{HEIGHT - 18}" text-anchor="middle">{step * slice_seconds:g} s</text>'
        )
    bases = list(dict.fromkeys(name.removesuffix(dashed) for name in series))
    for number, (name, values) in enumerate(series.items()):
        color = COLORS[bases.index(name.removesuffix(dashed)) % len(COLORS)]
        style = f'stroke="{color}" stroke-width="2"' + (
            ' stroke-dasharray="6 4"' if name.endswith(dashed) else ""
        )
        points = " ".join(point(*pair) for pair in enumerate(values))
        parts.append(f'<polyline fill="none" {style} points="{points}"/>')
        y = TOP + 14 + 20 * number
        parts.append(f'<path d="M{WIDTH - LEGEND + 12} {y}h26" {style}/>')
        parts.append(f'<text x="{WIDTH - LEGEND + 46}" y="{y + 4}">{escape(name)}</text>')
    return "\n".join([*parts, "</svg>\n"])
