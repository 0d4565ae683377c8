"""Is a new version good enough for its alias? What it is compared with, and the sentence that says why not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contract.coercion import Records, coerce
from contract.errors import InvalidInstances, ModelgateError
from contract.jobs import Row
from contract.manifest import ModelManifest, OutputKind
from contract.repository import Repository
from contract.training import Gate
from scoring.artifacts import load
from scoring.matrix import to_matrix
from scoring.trust import Trust
from trainer.training.evaluate import evaluate

LOWER_IS_BETTER = ("mean_absolute_error", "root_mean_squared_error", "log_loss", "spread")
"""Endings of metrics of which a smaller value is better."""

ON_TRAINING_ROWS = "training_"
ROUNDING = 1e-9


@dataclass(frozen=True)
class Previous:
    """The version that would be replaced, and its metrics on the held-out rows of the new one; or why it has none."""

    manifest: ModelManifest | None = None
    metrics: Mapping[str, float] | None = None
    silent: str | None = None


def ask_previous(
    root: Path, trust: Trust, alias: str, new: ModelManifest, rows: Sequence[Row], y: Any, held_out: bool
) -> Previous:
    """Has the version under `alias` predict `rows` of the new one, whose targets are `y`, as serving would."""
    repository = Repository(root)
    version = repository.aliases(new.name).get(alias)
    if version is None:
        return Previous()
    manifest = None
    try:
        manifest = repository.manifest(new.name, version)
        artifact, old, output = manifest.artifact, manifest.signature.output, new.signature.output
        if old.kind is not output.kind:
            return Previous(manifest, silent=f"it predicts a {old.kind}, and the new one a {output.kind}")
        if old.kind is OutputKind.CLASS and not set(old.labels or ()) & set(output.labels or ()):
            return Previous(manifest, silent="it knows none of the new one's classes")
        records = Records([dict(zip(new.signature.names, row, strict=True)) for row in rows])
        asked = coerce(records, manifest.signature).rows
        X = to_matrix(asked, manifest.signature, artifact.input_format, artifact.input_dtype)
        estimator = load(manifest, repository.version_dir(new.name, version), trust)
        return Previous(manifest, evaluate(estimator, X, y, old, held_out))
    except InvalidInstances as invalid:
        return Previous(manifest, silent=f"it does not take the new one's rows: {invalid}")
    except ModelgateError as error:
        return Previous(manifest, silent=str(error))
    except MemoryError:
        raise
    except Exception as error:
        return Previous(manifest, silent=f"it raised {type(error).__name__}: {error}")


def objection(gate: Gate, metrics: Mapping[str, float], previous: Previous) -> str | None:
    """Why a version with `metrics` is not to be promoted, or None."""
    if gate.metric is None and gate.floor is None and gate.margin is None:
        return None
    name = gate.metric or next(iter(metrics), "a metric")
    if name not in metrics:
        return f"the gate asks for {name}, and the version has {', '.join(metrics) or 'no metrics'}"
    if name.startswith(ON_TRAINING_ROWS):
        return f"the gate asks for held-out rows, and the recipe holds none out: {name} is that of the training rows"
    value, lower = metrics[name], name.endswith(LOWER_IS_BETTER)
    if gate.floor is not None and (value > gate.floor if lower else value < gate.floor):
        return f"{name} is {value:.4g}, and the gate wants at {'most' if lower else 'least'} {gate.floor:.4g}"
    if gate.margin is None or (previous.manifest is None and previous.silent is None):
        return None
    version = f"version {previous.manifest.version}" if previous.manifest else "the previous version"
    if previous.metrics is None or name not in previous.metrics:
        why = previous.silent or f"it has no {name}"
        return f"{version} cannot be compared on the held-out rows: {why}; promote the new one by hand if it is right"
    before = previous.metrics[name]
    worse = value - before if lower else before - value
    if worse > gate.margin + ROUNDING:
        return (
            f"{name} is {value:.4g}, and {version} has {before:.4g} on the same held-out rows: worse by {worse:.4g},"
            f" and the gate allows {gate.margin:.4g}"
        )
    return None
