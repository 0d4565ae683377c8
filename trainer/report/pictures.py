"""Facts → pictures: SVG that stands in the page and takes its colours from it, so that it is dark where the page is."""

from __future__ import annotations

import io
import itertools
import re
import warnings
from collections.abc import Callable, Iterator
from typing import Any, Literal

import matplotlib as mpl
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from trainer.report.parts import MISSING, Facts, clean, part

INK, FAINT, ACCENT = "#010101", "#020202", "#030303"
SERIES = [f"#0a0a{place:02x}" for place in range(10)]
"""Colours that matplotlib draws with, and the page's variables that stand in their place afterwards."""
VARIABLES = {INK: "--ink", FAINT: "--line", ACCENT: "--accent"} | {c: f"--c{i}" for i, c in enumerate(SERIES)}
DASHES = ["-", "--", ":", "-.", (0, (5, 1, 1, 1, 1, 1))]
"""Lines differ in more than their colour."""

STYLE: dict[Any, Any] = {
    "axes.edgecolor": FAINT,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "figure.constrained_layout.use": True,
    "figure.facecolor": "none",
    "font.size": 9.5,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "svg.fonttype": "none",  # text stays text: small, and in the reader's font
    "svg.hashsalt": "modelgate",
    "text.color": INK,
    "text.parse_math": False,  # a class may be called $x$
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
}
WIDTH, HEIGHT = 4.6, 3.4


def draw_all(facts: Facts) -> dict[str, Any]:
    """By name, each a piece of HTML, or a part that says why it is missing. Facts that are missing have no picture."""
    none: Facts = {MISSING: ""}
    answers: Facts = facts["answers"]
    points = answers if "points" in answers else none
    bars = points if points.get("residuals", {}).get("histogram") else none
    wanted: dict[str, tuple[Callable[[Facts], tuple[Figure, str]], Facts]] = {
        "candidates": (_candidates, facts["candidates"]),
        "importance": (_importance, facts["importance"]),
        "roc": (_roc, answers.get("roc", none)),
        "precision_recall": (_precision_recall, answers.get("precision_recall", none)),
        "calibration": (_calibration, answers.get("calibration", none)),
        "predicted": (_predicted, points),
        "residuals": (_residuals, points),
        "residual_histogram": (_residual_histogram, bars),
    }
    return {
        name: part(f"picture {name}", lambda n=name, d=draw, g=given: {"svg": _svg(n, d, g)})  # type: ignore[misc]
        for name, (draw, given) in wanted.items()
        if MISSING not in given
    }


def _svg(name: str, draw: Callable[[Facts], tuple[Figure, str]], given: Facts) -> Markup:
    """The figure as an element of the page, with its alternative text."""
    # No pyplot and no backend: a figure that nobody else knows needs no closing.
    with mpl.rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # the reader's font may have it
        figure, alternative = draw(given)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    text = buffer.getvalue()
    _, _, text = text[text.index("<svg") :].partition(">")
    box = f'viewBox="0 0 {figure.get_figwidth() * 72:g} {figure.get_figheight() * 72:g}"'
    text = re.sub(r"<style[^>]*>[^<]*</style>", "", text)
    linked = set(re.findall(r'(?:url\(|href=")#([\w-]+)', text))
    # Identifiers are for the whole page; only those that something refers to are needed.
    text = re.sub(r' id="([^"<>]*)"', lambda m: f' id="{name}-{m[1]}"' if m[1] in linked else "", text)
    text = re.sub(r'(url\(|href=")#(?=[\w-])', rf"\1#{name}-", text)
    for colour, variable in VARIABLES.items():
        text = text.replace(colour, f"var({variable})")
    return Markup(f'<svg role="img" aria-label="{escape(alternative)}" {box}>{text}')  # noqa: S704


def _new(xlabel: str, ylabel: str, height: float = HEIGHT) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH, height))
    axes = figure.add_subplot()
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    return figure, axes


def _bars(names: list[str], means: list[float], spreads: list[float], xlabel: str) -> tuple[Figure, Axes]:
    """One line a name, the first at the top, with a bar of its spread to both sides."""
    figure, axes = _new(xlabel, "", 0.9 + 0.27 * len(names))
    axes.set_yticks(range(len(names)), [clean(name, 24) for name in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    axes.errorbar(
        means, range(len(names)), xerr=spreads, fmt="o", markersize=5, capsize=3, color=ACCENT, ecolor=INK, elinewidth=1
    )
    return figure, axes


def _candidates(facts: Facts) -> tuple[Figure, str]:
    items = [item for item in facts["items"] if item["mean"] is not None]
    names, means = [item["name"] for item in items], [item["mean"] for item in items]
    spreads = [item["spread"] or 0.0 for item in items]
    metric = clean(facts["metric"].replace("_", " "), 40)
    figure, _ = _bars(names, means, spreads, metric)
    return figure, f"{metric} of {len(items)} estimators in cross-validation; the table has the numbers"


def _importance(facts: Facts) -> tuple[Figure, str]:
    columns = facts["columns"]
    names, means = [column["name"] for column in columns], [column["mean"] for column in columns]
    word = "rise" if facts["metric"] == "mean absolute error" else "fall"
    metric = facts["metric"]
    figure, axes = _bars(names, means, [column["spread"] for column in columns], f"{word} of the {metric}")
    axes.axvline(0, color=INK, linewidth=0.8)
    return figure, f"{word} of the {metric} for each of {len(names)} inputs; the table has the numbers"


def _styles() -> Iterator[tuple[str, Any]]:
    return zip(SERIES, itertools.cycle(DASHES), strict=False)


def _curves(facts: Facts, axes: Axes, what: str) -> str:
    described = []
    for curve, (colour, dashes) in zip(facts["curves"], _styles(), strict=False):
        name, area = clean(curve["label"], 20), f"{curve['area']:.3f}"
        # The class goes last: what begins with an underscore matplotlib keeps out of the legend.
        axes.plot(curve["x"], curve["y"], color=colour, linestyle=dashes, linewidth=1.6, label=f"{area} {name}")
        described.append(f"{name}: {area}")
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)
    return f"{what} for {'; '.join(described)}"


def _legend(figure: Figure, axes: Axes, corner: Literal["lower left", "lower right"], title: str) -> None:
    """In a corner of the curves where a few leave room, else below them."""
    lines, labels = axes.get_legend_handles_labels()
    if len(lines) <= 4:
        axes.legend(loc=corner, title=title)
        return
    figure.set_figheight(HEIGHT + 0.35 + 0.17 * len(lines) / 2)
    figure.legend(handles=lines, labels=labels, loc="outside lower center", ncols=2, title=title)


def _roc(facts: Facts) -> tuple[Figure, str]:
    figure, axes = _new("other rows taken for the class", "its own rows found")
    axes.plot([0, 1], [0, 1], color=INK, linewidth=0.8, linestyle=":")
    alternative = _curves(facts, axes, "ROC curves, with the area under each,")
    _legend(figure, axes, "lower right", "area under the curve")
    return figure, alternative


def _precision_recall(facts: Facts) -> tuple[Figure, str]:
    figure, axes = _new("recall: rows of the class that are found", "precision: of those found, right")
    if len(facts["curves"]) == 1:
        axes.axhline(facts["curves"][0]["share"], color=INK, linewidth=0.8, linestyle=":")
    alternative = _curves(facts, axes, "precision-recall curves, with the average precision of each,")
    _legend(figure, axes, "lower left", "average precision")
    return figure, alternative


def _calibration(facts: Facts) -> tuple[Figure, str]:
    label, predicted, observed = facts["label"], facts["predicted"], facts["observed"]
    of = "of the answer" if label is None else f"of {clean(label, 20)}"
    figure, axes = _new(f"probability {of} that the model gives", "share of rows that it is true of")
    # A share is within Wilson's interval, but for rounding.
    below = [max(0.0, share - low) for share, low in zip(observed, facts["low"], strict=True)]
    above = [max(0.0, high - share) for share, high in zip(observed, facts["high"], strict=True)]
    axes.plot([0, 1], [0, 1], color=INK, linewidth=0.8, linestyle=":")
    axes.errorbar(
        predicted,
        observed,
        yerr=[below, above],
        fmt="o-",
        markersize=5,
        capsize=3,
        color=ACCENT,
        ecolor=INK,
        elinewidth=0.8,
    )
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)
    return figure, f"calibration curve of {len(predicted)} points; on average {facts['gap']:.3f} from the diagonal"


def _predicted(facts: Facts) -> tuple[Figure, str]:
    figure, axes = _new("actual", "predicted")
    actual, predicted = facts["points"]["actual"], facts["points"]["predicted"]
    ends = [min(actual + predicted), max(actual + predicted)]
    axes.plot(ends, ends, color=INK, linewidth=0.8, linestyle=":")
    axes.plot(actual, predicted, color=ACCENT, linestyle="", marker="o", markersize=3.5, alpha=0.6)
    return figure, f"predicted against actual values of {len(actual)} rows; on the diagonal they are equal"


def _residuals(facts: Facts) -> tuple[Figure, str]:
    figure, axes = _new("predicted", "residual: actual less predicted")
    actual, predicted = facts["points"]["actual"], facts["points"]["predicted"]
    left = [a - p for a, p in zip(actual, predicted, strict=True)]
    axes.axhline(0, color=INK, linewidth=0.8, linestyle=":")
    axes.plot(predicted, left, color=ACCENT, linestyle="", marker="o", markersize=3.5, alpha=0.6)
    return figure, f"residuals of {len(actual)} rows by predicted value"


def _residual_histogram(facts: Facts) -> tuple[Figure, str]:
    figure, axes = _new("residual: actual less predicted", "rows")
    bars = facts["residuals"]["histogram"]
    edges, counts = bars["edges"], bars["counts"]
    axes.stairs(counts, edges, fill=True, color=ACCENT, alpha=0.75)
    axes.axvline(0, color=INK, linewidth=0.8, linestyle=":")
    axes.grid(visible=False, axis="x")
    return figure, f"histogram of the residuals, from {edges[0]:.4g} to {edges[-1]:.4g}"
