"""The rows of the page Versions: the headline metric of each version, and its difference from the current one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from contract.model.repository import CURRENT, Repository
from contract.model.version_metrics import headline_first, lower_is_better
from gateway.pages.same_rows import facts_of, measured_together
from gateway.serving.model_versions import version_summary

VERSIONS_OF_PAGE = 50


@dataclass(frozen=True)
class MetricDifference:
    """By how much (`amount`, not negative) a version is `better`, or worse, than the current one. `same_rows`: both
    were tested on the same rows, which neither learnt from."""

    amount: float
    better: bool
    same_rows: bool


@dataclass(frozen=True)
class VersionRows:
    """`rows`: what a list shows of each version, its `facts`, its `value` by `metric`, and its `difference` or None.
    `trend`: the values that are known, the oldest version first. `metric`: '' without any."""

    metric: str
    rows: Sequence[Mapping[str, Any]]
    trend: Sequence[float]

    @classmethod
    def of(cls, repository: Repository, name: str, versions: Sequence[int]) -> VersionRows:
        """Return the rows of `versions`, the newest first."""
        current = repository.aliases(name).get(CURRENT)
        summaries = {v: version_summary(repository, name, v) for v in {*versions, *([current] if current else [])}}
        facts = {version: facts_of(repository, name, version) for version in summaries}
        leading = current or versions[0]
        metric = next(iter(headline_first(_metrics(summaries[leading]), facts[leading]["headline"])), "")
        values = {version: _metrics(summary).get(metric) for version, summary in summaries.items()}
        rows = [
            {
                **summaries[version],
                **facts[version],
                "value": values[version],
                "notes": "" if "error" in summaries[version] else repository.manifest(name, version).notes,
                "difference": _difference(metric, version, current, values, facts),
            }
            for version in versions
        ]
        return cls(metric, rows, [value for row in rows[::-1] if (value := row["value"]) is not None])


def _metrics(summary: Mapping[str, Any]) -> Mapping[str, float]:
    metrics: Mapping[str, float] = summary.get("metrics", {})
    return metrics


def _difference(
    metric: str,
    version: int,
    current: int | None,
    values: Mapping[int, float | None],
    facts: Mapping[int, Mapping[str, Any]],
) -> MetricDifference | None:
    if current is None or version == current:
        return None
    together = measured_together(facts[max(version, current)], min(version, current), max(version, current))
    known = {one: metrics.get(metric) for one, metrics in together.items()}
    same_rows = None not in (known.get(version), known.get(current))
    now, before = (known if same_rows else values)[version], (known if same_rows else values)[current]
    if now is None or before is None:
        return None
    return MetricDifference(
        round(abs(now - before), 12), (now < before) is lower_is_better(metric) and now != before, same_rows
    )
