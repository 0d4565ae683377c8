"""Small curves and bars without axes, as SVG: they need no script."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

_WIDTH, _HEIGHT, _MARGIN = 120.0, 28.0, 2.0


def sparkline(values: Sequence[float], label: str, highest: float, kind: str = "") -> Markup:
    """Return a curve of the values, the oldest first. `label` says in words what it shows; `highest` is the value at
    the top, the same for curves that are compared; `kind` is a CSS class."""
    highest = highest or 1.0
    step = (_WIDTH - 2 * _MARGIN) / max(1, len(values) - 1)
    points = [
        (_MARGIN + at * step, _HEIGHT - _MARGIN - value / highest * (_HEIGHT - 2 * _MARGIN))
        for at, value in enumerate(values)
    ]
    return Markup(
        '<svg class="spark {}" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" aria-label="{}">{}</svg>'
    ).format(kind, f"{_WIDTH:g}", f"{_HEIGHT:g}", label, _line(points))


def bars(counts: Sequence[int], label: str) -> Markup:
    """Return a bar for each count, as high as its share of the highest. `label` says in words what they show."""
    highest = max(counts)
    heights = [max(1, round(count / highest * _HEIGHT)) if count else 0 for count in counts]
    # Strokes of one path, since a page may have a thousand of these.
    path = "".join(f"m1 {before}v-{height}" for before, height in zip([0, *heights], heights, strict=False))
    return Markup(
        '<svg class="bars" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" aria-label="{}">'
        '<path d="M-.5 {}{}"/></svg>'
    ).format(len(counts), f"{_HEIGHT:g}", label, f"{_HEIGHT:g}", path)


def _line(points: Sequence[tuple[float, float]]) -> Markup:
    """Return a line with the area below it."""
    path = " L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    area = f"M{points[0][0]:.1f} {_HEIGHT:g} L{path} L{points[-1][0]:.1f} {_HEIGHT:g} Z"
    return Markup('<path class="area" d="{}"/><path class="line" d="M{}"/>').format(area, path)


def lifted(values: Sequence[float]) -> list[float]:
    """Return the values as shares of their range, so that a small curve shows small changes."""
    low, high = min(values), max(values)
    return [(value - low) / (high - low) if high > low else 0.5 for value in values]
