"""Compares an imported version with another one on the rows of its sample, in a fork, which unpickles both."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import IO, Any

from contract.model.manifest import ModelManifest
from contract.model.repository import Repository
from runtime.environments import Environments
from scoring.trust import Trust
from trainer.forks import Forks, ForkTask
from trainer.report.evidence import ComparisonOutcome, VersionComparison

SECONDS = 120
"""Most seconds for loading and asking both versions."""

_OF_ROWS = ("actual", "now", "before")
"""What a comparison has of each row: the trainer gets figures."""


def compare_on_sample(
    repository: Repository,
    manifest: ModelManifest,
    version: int,
    rows: Path,
    trust: Trust,
    environments: Environments,
    forks: Forks,
) -> tuple[Mapping[str, float], VersionComparison]:
    """Return the metrics of the imported version on the CSV file `rows`, and its comparison with `version`. Raises
    OSError."""
    arguments = {
        "models": str(repository.root.resolve()),
        "name": manifest.name,
        "new": manifest.version,
        "version": version,
        "rows": str(rows.resolve()),
        "trust": trust.to_json(),
        "environments": str(environments.folder.resolve()),
    }
    try:
        ended = forks.of(environments, manifest.environment).run(ForkTask.COMPARE, arguments, SECONDS)
    except subprocess.TimeoutExpired:
        return {}, VersionComparison(version, missing=f"asking both versions takes over {SECONDS} s")
    try:
        metrics, figures = json.loads(ended.answer)
        outcome = figures["outcome"] and ComparisonOutcome(figures["outcome"])
        return metrics, VersionComparison(**{**figures, "outcome": outcome})
    except (ValueError, KeyError, TypeError):  # the process was killed, or code of a model wrote the answer
        last = f" ({ended.lines[-1][:200]})" if ended.lines else ""
        return {}, VersionComparison(version, missing=f"the process that asks both versions has failed{last}")


def main(answer: IO[str], arguments: Mapping[str, Any]) -> None:
    """Write the metrics and the figures of the comparison as JSON."""
    # Only the fork needs these modules, which import scikit-learn.
    from scoring.artifacts import load
    from trainer.importing.inputs import sample
    from trainer.importing.trial.sample_report import tested_rows
    from trainer.training.comparison import PublishedVersions, compare

    repository, trust = Repository(Path(arguments["models"])), Trust.from_json(arguments["trust"])
    manifest, version = repository.manifest(arguments["name"], arguments["new"]), arguments["version"]
    with Path(arguments["rows"]).open("rb") as file:
        sample_rows = sample.read(file)
    estimator = load(manifest, repository.files(manifest.name, manifest.version), trust)
    tested = tested_rows(estimator, manifest.draft(), sample_rows)
    if tested is None:
        metrics: Mapping[str, float] = {}
        comparison = VersionComparison(version, missing="its sample has no column with the target")
    else:
        new, data = tested
        metrics = new.draft.metrics
        versions = PublishedVersions(repository, trust, Environments(Path(arguments["environments"])))
        comparison = compare(versions, version, new, data)
    json.dump(
        [metrics, {f.name: getattr(comparison, f.name) for f in fields(comparison) if f.name not in _OF_ROWS}], answer
    )
    answer.write("\n")
