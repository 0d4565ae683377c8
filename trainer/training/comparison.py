"""Compares a new version with the one that it would replace, on rows that are new to both.

Both versions predict the same rows, so their losses are compared row by row: if the versions were equally good, each
difference would have either sign with equal probability (a randomisation test; Dietterich, "Approximate statistical
tests for comparing supervised classification learning algorithms", Neural Computation 10, 1998). For predictions that
are right or wrong this is McNemar's test.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from math import erfc, sqrt
from typing import Any

import numpy as np
from modelgate_kernels.matrix import to_matrix

from contract.errors import InvalidInstances, ModelgateError
from contract.model.manifest import ModelManifest
from contract.model.repository import CURRENT, Repository
from contract.model.signature import Output, OutputKind, Signature
from contract.model.version_files import VersionFiles
from contract.model.version_metrics import beats_baselines, missed_baselines
from contract.row import Row
from contract.rows.coercion import coerce
from contract.rows.instances import Grid
from contract.wording import counted
from runtime.environments import Environments, environment_here
from scoring.artifacts import load
from scoring.estimators import predict_matrix
from scoring.trust import Trust
from trainer.forks import Forks, NoSuchEnvironment
from trainer.publishing.asking import NotAnswered, ask
from trainer.report.evidence import ComparisonOutcome, VersionAnswers, VersionComparison
from trainer.tables.training_rows import TrainingRows, take_rows
from trainer.training.fitting import FittedModel, measure
from trainer.training.row_hashes import are_new, hashes, load_hashes

LEVEL = 0.05
"""The significance level of the one-sided tests."""
FEWEST_ROWS = 50
"""With fewer rows only large differences are significant."""
FEWEST_OTHERS = 20
"""With fewer rows of other targets than the most frequent one, a version may give one answer by chance."""
_ROWS = {False: "held-out row", True: "sample row"}
LEAST = 1e-4
"""The lower bound of probabilities in a log loss: one confident wrong prediction must not outweigh all others."""
FEW_ROWS, SIGNS, SEED = 1000, 5000, 0


class CannotCompare(Exception):
    """The version that would be replaced cannot be compared with the new one; the message says why."""


@dataclass(frozen=True)
class PublishedVersions:
    """The versions of `repository`, which answer with the libraries of their environments."""

    repository: Repository
    trust: Trust
    environments: Environments

    def replaced(self, model: str, alias: str) -> ModelManifest | None:
        """Return the manifest of the version that has the alias, else of the current one; None if there is none, or if
        it cannot be read."""
        aliases = self.repository.aliases(model)
        with suppress(ModelgateError, KeyError):
            return self.repository.manifest(model, aliases[alias if alias in aliases else CURRENT])
        return None

    def answers(self, manifest: ModelManifest, rows: Sequence[Row]) -> VersionAnswers:
        """Return the answers of a version to rows in the order of its signature. Raises what loading and predicting
        raise, and `CannotCompare`."""
        signature, files = manifest.signature, self.repository.files(manifest.name, manifest.version)
        if manifest.environment != environment_here():
            return self._elsewhere(manifest, files, rows)
        estimator, artifact = load(manifest, files, self.trust), manifest.artifact
        X = to_matrix(rows, signature.inputs, artifact.input_format, artifact.input_dtype)
        return VersionAnswers(*predict_matrix(estimator, X, manifest), signature.output)

    def _elsewhere(self, manifest: ModelManifest, files: VersionFiles, rows: Sequence[Row]) -> VersionAnswers:
        output = manifest.signature.output
        try:
            with Forks() as forks:
                there = forks.of(self.environments, manifest.environment)
                answer = ask(files, rows, self.trust, there).prediction
        except (NotAnswered, NoSuchEnvironment) as error:
            raise CannotCompare(f"version {manifest.version} does not answer: {error}") from None
        values: Sequence[Any] = answer.values
        if output.kind is OutputKind.CLASS:
            label_of = dict(zip(output.shown_labels, output.labels or (), strict=True))
            predicted = np.array([label_of[value] for value in values])
        else:
            predicted = np.array(values, dtype=float)  # None becomes NaN
        by_label: Any = answer.probabilities
        shown = [str(label) for label in output.shown_labels]
        table = None if by_label is None else np.array([[row[label] for label in shown] for row in by_label], float)
        return VersionAnswers(predicted, table, output)


def compare(versions: PublishedVersions, version: int, new: FittedModel, data: TrainingRows) -> VersionComparison:
    """Compare the predictions of both versions for the held-out rows of `new` that are new to `version`.

    `data` are all rows of the new one. Raises nothing but MemoryError.
    """
    try:
        comparison = _compared(versions, version, new, data)
    except (CannotCompare, ModelgateError) as reason:
        comparison = VersionComparison(version, missing=str(reason))
    except MemoryError:
        raise
    except Exception as error:
        comparison = VersionComparison(version, missing=f"version {version} raised {type(error).__name__}: {error}")
    if comparison.outcome is None and _gives_one_answer(new):
        with suppress(Exception):  # then `comparison` says why there is no outcome
            comparison = replace(comparison, one_answer=_is_better_than_that(versions, version, new, data))
    return comparison


def _compared(versions: PublishedVersions, version: int, new: FittedModel, data: TrainingRows) -> VersionComparison:
    if not new.held_out and not new.sample:
        raise CannotCompare("the recipe holds no rows out")
    manifest = versions.repository.manifest(new.draft.name, version)
    if len(manifest.signature.outputs) != 1:
        raise CannotCompare(f"version {version} does not predict one value a row, as the new one does")
    output, old_output = new.draft.signature.output, manifest.signature.output
    _check_outputs(version, output, old_output)
    known = load_hashes(versions.repository.files(manifest.name, version), manifest)
    if known is None:
        raise CannotCompare(f"version {version} has no record of the rows that it was trained on")
    positions, rows = _unseen(manifest, known, new, data)
    y = new.y[positions]
    now = VersionAnswers(*predict_matrix(new.estimator, take_rows(new.X, positions), new.draft), output)
    before = versions.answers(manifest, rows)
    loss, ours, theirs = _losses(y, now, before)
    return _with_outcome(
        VersionComparison(
            version,
            rows=len(y),
            sample=new.sample,
            metrics=_measured(y, now, loss, ours),
            previous=_measured(y, before, loss, theirs),
            loss=loss,
            loss_now=float(ours.mean()),
            loss_before=float(theirs.mean()),
            actual=y,
            now=now,
            before=before,
        ),
        ours - theirs,
    )


def _gives_one_answer(new: FittedModel) -> bool:
    """Return whether the new version gives the same answer to all rows that were tested, although enough of them have
    other targets, and is no better for it."""
    _, counts = np.unique(new.y[new.tested_on], return_counts=True)
    if not missed_baselines(new.draft.metrics) or counts.sum() - counts.max() < FEWEST_OTHERS:
        return False
    predicted, _ = predict_matrix(new.estimator, take_rows(new.X, new.tested_on), new.draft)
    return len(np.unique(predicted)) == 1


def _is_better_than_that(versions: PublishedVersions, version: int, new: FittedModel, data: TrainingRows) -> bool:
    """Return whether `version` is better than always giving the same answer: by its own metrics, or if it was imported
    without any, on the rows that were tested."""
    manifest = versions.repository.manifest(new.draft.name, version)
    if manifest.metrics:
        return beats_baselines(manifest.metrics)
    taken, rows = _accepted_by([data.rows[index] for index in new.tested_on], new.draft.signature, manifest)
    y = new.y[new.tested_on][taken]
    answers = versions.answers(manifest, rows)
    return beats_baselines(measure(y, answers.predicted, answers.table, answers.output))


def _check_outputs(version: int, new: Output, old: Output) -> None:
    if old.kind is not new.kind:
        raise CannotCompare(f"version {version} predicts a {old.kind}, the new one a {new.kind}")
    if old.kind is OutputKind.CLASS and not set(old.labels or ()) & set(new.labels or ()):
        raise CannotCompare(f"version {version} has none of the new version's classes")


def _unseen(manifest: ModelManifest, known: Any, new: FittedModel, data: TrainingRows) -> tuple[Any, list[Row]]:
    """Return the positions of the held-out rows that are new to the version of `manifest`, and these rows,
    coerced to its signature."""
    taken, rows = _accepted_by(data.rows, new.draft.signature, manifest)
    row_hashes = hashes(rows, [data.targets[index] for index in taken], manifest.training_data.fingerprint)
    unseen = np.isin(taken, new.tested_on) & are_new(row_hashes, known)
    if not unseen.any():
        raise CannotCompare(f"version {manifest.version} was trained on all of the {_ROWS[new.sample]}s")
    return taken[unseen], [rows[number] for number in np.flatnonzero(unseen).tolist()]


def _accepted_by(rows: Sequence[Row], signature: Signature, old: ModelManifest) -> tuple[Any, Sequence[Row]]:
    """Return the positions of the `rows` that fit the signature of the `old` version, and these rows, coerced to it."""
    positions = np.arange(len(rows))
    try:
        return positions, coerce(Grid(signature.names, rows), old.signature).rows
    except InvalidInstances as invalid:
        refused = {error.row for error in invalid.errors}
        if None in refused or invalid.total > len(invalid.errors) or len(refused) == len(rows):
            raise CannotCompare(f"version {old.version} does not accept the new version's rows: {invalid}") from None
    positions = np.setdiff1d(positions, list(refused))
    return positions, coerce(
        Grid(signature.names, [rows[position] for position in positions.tolist()]), old.signature
    ).rows


def _measured(y: Any, answers: VersionAnswers, loss: str, losses: Any) -> dict[str, float]:
    """Return the metrics. The log loss is that of the test, or one page would have two of them."""
    metrics = measure(y, answers.predicted, answers.table, answers.output)
    return {**metrics, **({"log_loss": float(losses.mean())} if loss == "log loss" and "log_loss" in metrics else {})}


def _losses(y: Any, *versions: VersionAnswers) -> tuple[str, Any, Any]:
    """Return the name of the loss, and the losses of both versions row by row; less is better."""
    if versions[0].output.kind is OutputKind.NUMBER:
        ours, theirs = (np.square(np.asarray(answers.predicted, dtype=float) - y) for answers in versions)
        return "squared error", ours, theirs
    if any(answers.table is None for answers in versions):
        ours, theirs = (np.asarray(answers.predicted != y, dtype=float) for answers in versions)
        return "share of errors", ours, theirs
    ours, theirs = (-np.log(np.clip(np.nan_to_num(_of_own_class(y, answers)), LEAST, 1)) for answers in versions)
    return "log loss", ours, theirs


def _of_own_class(y: Any, answers: VersionAnswers) -> Any:
    """Return the probability of each row's class; 0 for a class that the version does not know."""
    table = np.column_stack([answers.table, np.zeros(len(y))])
    column_of = {label: index for index, label in enumerate(answers.output.labels or ())}
    return table[np.arange(len(y)), [column_of.get(label, -1) for label in y.tolist()]]


def _with_outcome(figures: VersionComparison, differences: Any) -> VersionComparison:
    """Return the figures with the outcome of the test. `differences`: by how much the new version loses more, row by
    row."""
    if figures.rows < FEWEST_ROWS:
        rows = counted(figures.rows, _ROWS[figures.sample])
        to = f"version {figures.version}" if figures.sample else "both versions"
        verb = "is" if figures.rows == 1 else "are"
        return replace(figures, missing=f"only {rows} {verb} new to {to}; a comparison needs {FEWEST_ROWS}")
    if not np.isfinite(differences).all():
        return replace(figures, missing="one of the versions gives predictions that are not finite numbers")
    worse, better = by_chance(differences), by_chance(-differences)
    outcome = (
        ComparisonOutcome.WORSE
        if worse < LEVEL
        else ComparisonOutcome.BETTER
        if better < LEVEL
        else ComparisonOutcome.SAME
    )
    return replace(figures, p_worse=worse, p_better=better, outcome=outcome)


def by_chance(differences: Any) -> float:
    """Return the one-sided p-value: the probability of a mean at least as large if each difference had a random
    sign.

    For many rows the normal approximation is used.
    """
    moved = differences[differences != 0]
    total = moved.sum()
    if not len(moved):
        return 1.0
    if len(moved) > FEW_ROWS:
        return erfc(total / sqrt(2 * np.square(moved).sum())) / 2
    signs = np.random.default_rng(SEED).choice((-1.0, 1.0), (SIGNS, len(moved)))
    enough = total - 1e-9 * np.abs(moved).sum()  # sums differ in their last bits
    return float((1 + (signs @ moved >= enough).sum()) / (1 + SIGNS))
