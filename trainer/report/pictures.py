"""Draws the pictures of a report as SVG with the page's own colours, so that they follow its light or dark scheme."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable
from typing import Any

import matplotlib as mpl
import numpy as np
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from contract.wording import clean
from trainer.report.parts import MISSING, Facts, part

INK, FAINT, SOFT = "#010101", "#020202", "#030303"
SERIES = [f"#0a0a{index:02x}" for index in range(10)]
"""Colours for matplotlib, which the page's variables replace afterwards."""
VARIABLES = {INK: "--ink", FAINT: "--line", SOFT: "--soft"} | {c: f"--c{i}" for i, c in enumerate(SERIES)}
ACCENT = SERIES[0]
DASHES: list[tuple[float, ...]] = [(), (5, 2), (1.5, 1.5), (6, 2, 1.5, 2), (6, 2, 1.5, 2, 1.5, 2)]
"""Dashes of lines, which differ not only in colour: lengths of strokes and gaps, in line widths."""
MARKS = {
    "o": "M12 1.2a2.8 2.8 0 1 0 .01 0z",
    "s": "M9.5 1.5h5v5h-5z",
    "^": "M12 1l3 6h-6z",
    "D": "M12 .8l3.2 3.2l-3.2 3.2l-3.2 -3.2z",
    "P": "M11 1h2v2h2v2h-2v2h-2v-2h-2v-2h2z",
}
"""Marks of points, which differ not only in colour: their names in matplotlib, and their paths in a legend."""

STYLE: dict[Any, Any] = {
    "axes.edgecolor": FAINT,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.labelcolor": SOFT,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.constrained_layout.use": True,
    "figure.facecolor": "none",
    "font.size": 8.5,
    "font.sans-serif": ["DejaVu Sans"],  # by which texts are measured; the page names the reader's
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "svg.fonttype": "none",  # text stays text: small, and in the reader's font
    "svg.hashsalt": "modelgate",
    "text.color": INK,
    "text.parse_math": False,  # a class may be called $x$
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
}
WIDTH, HEIGHT, LOW = 3.6, 3.1, 2.4
MOST_TICKS = 5


def draw_all(facts: Facts) -> dict[str, Any]:
    """Return the pictures by name, each as SVG or with the reason why it is missing. Missing facts have no picture."""
    none: Facts = {MISSING: ""}
    answers: Facts = facts["answers"]
    points = answers if "points" in answers else none
    bars = points if points.get("residuals", {}).get("histogram") else none
    of_classes = {"roc": _roc, "precision_recall": _precision_recall, "calibration": _calibration}
    wanted: dict[str, tuple[Callable[[Facts], tuple[Figure, str]], Facts]] = {
        **{name: (draw, answers.get(name, none)) for name, draw in of_classes.items()},
        **{
            f"other_{name}": (draw, answers.get("other_class", none).get(name, none))
            for name, draw in of_classes.items()
        },
        "predicted": (_predicted, points),
        "residuals": (_residuals, points),
        "residual_histogram": (_residual_histogram, bars),
    }
    dependence = facts["dependence"]
    for index, item in enumerate(dependence.get("items", ())):
        wanted[f"dependence-{index}"] = (_dependence, {**dependence, "item": item})
    return {
        name: part(f"picture {name}", lambda n=name, d=draw, g=drawn_facts: {"svg": _svg(n, d, g)})  # type: ignore[misc]
        for name, (draw, drawn_facts) in wanted.items()
        if MISSING not in drawn_facts
    }


def _svg(name: str, draw: Callable[[Facts], tuple[Figure, str]], facts: Facts) -> Markup:
    """Return the figure as an element of the page, with its alternative text."""
    # Without pyplot and a backend, a figure needs no closing.
    with mpl.rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # the reader's font may have it
        figure, alternative = draw(facts)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    text = buffer.getvalue()
    _, _, text = text[text.index("<svg") :].partition(">")
    box = f'viewBox="0 0 {figure.get_figwidth() * 72:g} {figure.get_figheight() * 72:g}"'
    text = re.sub(r"<style[^>]*>[^<]*</style>", "", text)
    linked = set(re.findall(r'(?:url\(|href=")#([\w-]+)', text))
    # Identifiers are global to the page, so remove unused ones and prefix the others.
    text = re.sub(r' id="([^"<>]*)"', lambda m: f' id="{name}-{m[1]}"' if m[1] in linked else "", text)
    text = re.sub(r'(url\(|href=")#(?=[\w-])', rf"\1#{name}-", text)
    text = re.sub(r' (?:d|x|y|transform)="[^"]*"', _shortened, text)
    text = re.sub(r"<g([^>]*)>\s*((?:<use [^>]*/>\s*){2,})</g>", _styled_once, text)
    for colour, variable in VARIABLES.items():
        text = text.replace(colour, f"var({variable})")
    return Markup(f'<svg role="img" aria-label="{escape(alternative)}" {box}>{text}')  # noqa: S704


def _shortened(attribute: re.Match[str]) -> str:
    """Round coordinates to a hundredth of a point, on one line: that halves the size."""
    one_line = " ".join(attribute[0].split())
    return " " + re.sub(r"\d+\.\d{3,}", lambda match: f"{float(match[0]):.2f}", one_line)


def _styled_once(group: re.Match[str]) -> str:
    """Move the style that hundreds of points share into their group."""
    styles = set(re.findall(r' style="[^"]*"', group[2]))
    if len(styles) != 1:
        return group[0]
    style = styles.pop()
    return f"<g{group[1]}{style}>{group[2].replace(style, '')}</g>"


def _new(xlabel: str, ylabel: str, height: float = HEIGHT) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH, height))
    axes = figure.add_subplot()
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    axes.locator_params(nbins=MOST_TICKS)
    return figure, axes


def _unit_square(axes: Axes) -> None:
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)


def _line(axes: Axes, index: int, x: list[Any], y: list[Any], **more: Any) -> None:
    """Draw the line of a series, as the page's legend shows it."""
    (line,) = axes.plot(x, y, color=SERIES[index % len(SERIES)], linewidth=1.5, **more)
    if dashes := DASHES[index % len(DASHES)]:
        line.set_dashes(dashes)


def _curves(facts: Facts, axes: Axes, what: str) -> str:
    for index, curve in enumerate(facts["curves"]):
        _line(axes, index, curve["x"], curve["y"])
    _unit_square(axes)
    return f"{what} for " + "; ".join(f"{clean(curve['label'], 20)}: {curve['area']:.3f}" for curve in facts["curves"])


def _roc(facts: Facts) -> tuple[Figure, str]:
    figure, axes = _new("false positive rate", "true positive rate")
    axes.plot([0, 1], [0, 1], color=SOFT, linewidth=0.8, linestyle=":")
    return figure, _curves(facts, axes, "ROC curves, with the area under each,")


def _precision_recall(facts: Facts) -> tuple[Figure, str]:
    figure, axes = _new("recall", "precision")
    if len(facts["curves"]) == 1:
        axes.axhline(facts["curves"][0]["share"], color=SOFT, linewidth=0.8, linestyle=":")
    return figure, _curves(facts, axes, "precision-recall curves, with the average precision of each,")


def _calibration(facts: Facts) -> tuple[Figure, str]:
    label, predicted, observed = facts["label"], facts["predicted"], facts["observed"]
    figure, axes = _new(
        "predicted probability (mean of a bin)", "fraction that is right" if label is None else "fraction of positives"
    )
    # Apart from rounding, a share is within Wilson's interval.
    below = [max(0.0, share - low) for share, low in zip(observed, facts["low"], strict=True)]
    above = [max(0.0, high - share) for share, high in zip(observed, facts["high"], strict=True)]
    axes.plot([0, 1], [0, 1], color=SOFT, linewidth=0.8, linestyle=":")
    axes.errorbar(
        predicted,
        observed,
        yerr=[below, above],
        fmt="o-",
        markersize=4,
        capsize=2,
        color=ACCENT,
        ecolor=SOFT,
        elinewidth=0.8,
        linewidth=1.2,
    )
    # All values of a rare class are in a corner.
    most = max(*predicted, *facts["high"])
    end = 1.02 if most > 0.4 else 1.1 * most
    axes.set_xlim(-0.02 * end, end)
    axes.set_ylim(-0.02 * end, end)
    return figure, f"calibration curve of {len(predicted)} points; on average {facts['gap']:.3f} from the diagonal"


def _scatter(axes: Axes, x: list[float], y: list[float]) -> None:
    axes.plot(x, y, color=ACCENT, linestyle="", marker="o", markersize=2.6, markeredgewidth=0, alpha=0.55)


def _predicted(facts: Facts) -> tuple[Figure, str]:
    figure, axes = _new("actual", "predicted")
    actual, predicted = facts["points"]["actual"], facts["points"]["predicted"]
    ends = [min(actual + predicted), max(actual + predicted)]
    axes.plot(ends, ends, color=SOFT, linewidth=0.8, linestyle=":")
    _scatter(axes, actual, predicted)
    return figure, f"predicted against actual values of {len(actual)} rows; on the diagonal they are equal"


def _residuals(facts: Facts) -> tuple[Figure, str]:
    figure, axes = _new("predicted", "residual (actual − predicted)")
    actual, predicted = facts["points"]["actual"], facts["points"]["predicted"]
    axes.axhline(0, color=SOFT, linewidth=0.8, linestyle=":")
    _scatter(axes, predicted, [a - p for a, p in zip(actual, predicted, strict=True)])
    return figure, f"residuals of {len(actual)} rows by predicted value"


def _residual_histogram(facts: Facts) -> tuple[Figure, str]:
    figure, axes = _new("residual (actual − predicted)", "rows")
    bars = facts["residuals"]["histogram"]
    edges, counts = bars["edges"], bars["counts"]
    axes.stairs(counts, edges, fill=True, color=ACCENT, alpha=0.75)
    axes.axvline(0, color=SOFT, linewidth=0.8, linestyle=":")
    axes.grid(visible=False, axis="x")
    return figure, f"histogram of the residuals, from {edges[0]:.4g} to {edges[-1]:.4g}"


def _dependence(facts: Facts) -> tuple[Figure, str]:
    """Draw a partial dependence: numbers and times along the x axis, other values as a line each; one scale for all."""
    item, labels = facts["item"], facts["labels"]
    answer = "mean predicted probability" if labels else "mean prediction"
    values, scale = item["values"], [a for other in facts["items"] for line in other["lines"] for a in line]
    margin = (max(scale) - min(scale)) * 0.06 or abs(max(scale)) * 0.05 or 0.5
    ends = (min(scale) - margin, max(scale) + margin)
    alternative = f"{answer} by {clean(item['name'], 40)}, for {len(values)} values"
    if item["kind"] in ("string", "boolean"):
        figure, axes = _new(answer, "", LOW)
        axes.set_yticks(range(len(values)), [clean(value, 16) for value in values])
        axes.set_ylim(len(values) - 0.5, -0.5)
        axes.set_xlim(ends)
        for index, line in enumerate(item["lines"]):
            colour, mark = SERIES[index % len(SERIES)], list(MARKS)[index % len(MARKS)]
            axes.plot(line, range(len(line)), color=colour, linestyle="", marker=mark, markersize=5)
        return figure, alternative
    figure, axes = _new("", answer, LOW)
    axes.set_ylim(ends)
    axes.locator_params(axis="x", nbins=MOST_TICKS, integer=item["kind"] == "integer")
    x: list[Any] = values
    if item["kind"] == "datetime":
        x = [np.datetime64(str(value)[:19], "s").astype(float) for value in values]
        ticks = np.linspace(x[0], x[-1], 3)
        axes.set_xlabel("" if item["naive"] else "UTC")
        axes.set_xticks(ticks, [str(np.datetime64(int(tick), "s"))[:10] for tick in ticks])
    for index, line in enumerate(item["lines"]):
        _line(axes, index, x, line, marker="o" if len(item["lines"]) == 1 else None, markersize=2.6)
    return figure, alternative
