"""Fits a recipe to rows, and measures the estimator on held-out rows and by cross-validation: the metrics of the
manifest.

Add a new metric to `contract.work.training.METRICS` too, so that gates may name it, and see `lower_is_better` of
`contract.model.version_metrics` if lower is better.
"""

from __future__ import annotations

import dataclasses
import math
import time
import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from modelgate_kernels.matrix import to_matrix
from sklearn import metrics
from sklearn.model_selection import KFold, StratifiedKFold, train_test_split

from contract.model.manifest import ArtifactDraft, Golden, ManifestDraft, ModelManifest, TrainingData
from contract.model.row_profile import profile_of
from contract.model.signature import Field, Kind, Output, OutputKind, Signature
from contract.model.signature_changes import decided
from contract.row import Value
from scoring.artifacts import use_one_thread
from scoring.estimators import predict_matrix
from scoring.kernels import compared
from scoring.methods import find_methods
from scoring.predict import MOST_APART, predict, predict_apart
from trainer.publishing.independence import with_independence
from trainer.publishing.publish import packed
from trainer.recipe import Candidate, OutOfFold, Recipe, RecipeError, Run
from trainer.report.evidence import Evidence
from trainer.tables.balance import average_precision, out_of_balance, rarest
from trainer.tables.training_rows import TrainingRows, take_rows
from trainer.training.intervals import intervals

GOLDEN_ROWS = 20
SPLIT_SEED = 42
FOLDS = 5
FOLDS_SEED = 42
CROSS_VALIDATION_SECONDS = 120
"""The model is not cross-validated if the folds would take longer, judging by the time of the first fit."""
REPORTED_PRECISION = 0.5
"""The precision at which the recall of a rare class is reported."""
_MOST_ANSWERS = 10_000
"""Rows whose answers the profile of the version counts."""


@dataclasses.dataclass(frozen=True)
class FittedModel:
    """A fitted estimator and the draft of its manifest.

    X (a matrix) and y (the targets) hold all rows. `fitted_on` and `tested_on` are positions in them: equal, unless the
    recipe holds rows out. Fitting took `seconds`. `sample`: the rows came with an imported model, which may have been
    fitted on them.
    """

    estimator: Any
    draft: ManifestDraft
    X: Any
    y: Any
    fitted_on: Any
    tested_on: Any
    held_out: bool
    seconds: float
    sample: bool = False

    def evidence(self, data: TrainingRows, run: Run, **more: Any) -> Evidence:
        X_test, y_test = take_rows(self.X, self.tested_on), self.y[self.tested_on]
        return Evidence(
            draft=self.draft,
            estimator=self.estimator,
            rows=data.rows,
            targets=data.targets,
            X_test=X_test,
            y_test=y_test,
            intervals=self._intervals(X_test, y_test),
            held_out=self.held_out,
            tested_on=self.tested_on.tolist(),
            sample=self.sample,
            ids=data.ids,
            candidates=tuple(run.candidates),
            chosen=run.chosen,
            remarks=tuple(run.remarks),
            target=run.target.name,
            notes=self.draft.notes,
            **more,
        )

    def _intervals(self, X: Any, y: Any) -> Mapping[str, tuple[float, float]]:
        """Return those of the metrics, which say nothing about rows that the model was fitted on."""
        if not (self.held_out or self.sample):
            return {}
        output = self.draft.signature.output
        predicted, table = predict_matrix(self.estimator, X, self.draft)

        def measured(kept: Any) -> Mapping[str, float]:
            return measure(y[kept], predicted[kept], None if table is None else table[kept], output)

        return intervals(len(y), measured)


def fit_and_measure(
    recipe: Recipe, data: TrainingRows, run: Run, parameters: Mapping[str, Any], replaced: ModelManifest | None = None
) -> FittedModel:
    """Fit the recipe and measure the estimator, under the decision of the version that would be `replaced`. Rows become
    a matrix by the same code as in serving.

    Raises what the recipe raises.
    """
    X = to_matrix(data.rows, recipe.signature().inputs, recipe.input_format)
    y = np.array(data.targets)
    fitted_on, tested_on = _split(y, recipe.fields[1], recipe.test_size)
    started = time.monotonic()
    estimator = recipe.run_fit(take_rows(X, fitted_on), y[fitted_on], run, parameters)
    seconds = time.monotonic() - started
    from trainer.recipes import artifact_format  # a fork that compares versions must not import recipes

    if not hasattr(estimator, "predict"):
        raise RecipeError(f"the recipe {recipe.name} returned {estimator!r:.80} instead of a fitted estimator")
    use_one_thread(estimator)
    signature = _with_decision(recipe.signature(estimator), replaced, run)
    file_format = recipe.artifact_format or artifact_format(estimator)
    held_out = recipe.test_size > 0
    draft = ManifestDraft(
        name=recipe.name,
        recipe=recipe.name,
        artifact=ArtifactDraft(file_format, recipe.input_format),
        signature=signature,
        training_data=TrainingData(data.source, len(data.rows), data.fingerprint, recipe.fields[1].name),
        parameters={**parameters, **_parameters(estimator)},
        example=_example(recipe, data),
    )
    draft = _with_methods(estimator, draft, data)
    draft = compared(dataclasses.replace(draft, golden=_golden(estimator, draft, data)), estimator)
    if not recipe.fit.__module__.startswith("trainer.recipes."):
        draft = with_independence(estimator, draft, data.rows, partial(packed, estimator, file_format))
    tested_on = tested_on[:MOST_APART] if draft.artifact.alone else tested_on
    X_test, y_test = take_rows(X, tested_on), y[tested_on]
    draft = dataclasses.replace(draft, metrics=evaluate(estimator, X_test, y_test, draft, held_out))
    learnt, unseen = ([data.rows[position] for position in positions.tolist()] for positions in (fitted_on, tested_on))
    answers = predict_apart(estimator, draft, unseen[:_MOST_ANSWERS])
    draft = dataclasses.replace(draft, profile=profile_of(draft.signature, learnt, answers))
    for warning in draft.warnings:
        run.say(warning)
    return FittedModel(estimator, draft, X, y, fitted_on, tested_on, held_out, seconds)


def _with_decision(signature: Signature, replaced: ModelManifest | None, run: Run) -> Signature:
    """Keep the decision of the `replaced` version if the new one answers the same classes: people have weighed what its
    errors cost, and a schedule must not undo that."""
    output = signature.output
    if replaced is None or len(replaced.signature.outputs) != 1:
        return signature
    before = replaced.signature.output
    if not (before.decision and output.decidable and (before.name, before.labels) == (output.name, output.labels)):
        return signature
    output = dataclasses.replace(output, decision=before.decision)
    run.remark(f"it decides {decided(output)}, as version {replaced.version} does")
    return dataclasses.replace(signature, outputs=(output,))


def with_cross_validation(fitted: FittedModel, recipe: Recipe, run: Run, parameters: Mapping[str, Any]) -> FittedModel:
    """Add the cross-validated metric: from the recipe if it has cross-validated, otherwise by fitting each fold."""
    if run.chosen is None:

        def fit(X: Any, y: Any) -> Any:
            return recipe.run_fit(X, y, Run(*recipe.fields), parameters)

        X, y = take_rows(fitted.X, fitted.fitted_on), fitted.y[fitted.fitted_on]
        alone = fitted.draft.artifact.alone and len(y) > MOST_APART
        validated = None if alone else cross_validate(fit, X, y, fitted.draft, recipe.name, fitted.seconds)
        if validated is None:
            why = "rows are asked one by one" if alone else "a class has too few rows"
            run.remark(f"not cross-validated: {why}, or it would take over {CROSS_VALIDATION_SECONDS} s")
            return fitted
        run.chosen, run.out_of_fold = validated
        run.candidates.append(run.chosen)
    metrics = {**fitted.draft.metrics, **cross_validated(run.chosen)}
    return dataclasses.replace(fitted, draft=dataclasses.replace(fitted.draft, metrics=metrics))


def _split(y: Any, target: Field, test_size: float) -> tuple[Any, Any]:
    """Return the positions of the rows to fit on and of those to test on: random, but the same for equally many rows.

    Stratified if a class would otherwise be missing from one of the parts.
    """
    positions = np.arange(len(y))
    if not test_size:
        return positions, positions
    fitted_on, tested_on = train_test_split(positions, test_size=test_size, random_state=SPLIT_SEED)
    if target.kind is not Kind.NUMBER and set(y[fitted_on].tolist()) != set(y[tested_on].tolist()):
        counts = Counter(y.tolist()).values()
        if min(counts) > 1 and len(counts) <= len(y) * min(test_size, 1 - test_size):
            fitted_on, tested_on = train_test_split(positions, test_size=test_size, random_state=SPLIT_SEED, stratify=y)
    return fitted_on, tested_on


def _with_methods(estimator: Any, draft: ManifestDraft, data: TrainingRows) -> ManifestDraft:
    """Add the estimator's other methods."""
    methods, _ = find_methods(estimator, data.rows[:GOLDEN_ROWS], draft.signature, draft.artifact)
    return dataclasses.replace(draft, signature=dataclasses.replace(draft.signature, methods=methods))


def _golden(estimator: Any, draft: ManifestDraft, data: TrainingRows) -> Golden:
    """Choose up to `GOLDEN_ROWS` rows: for each input the first row with a null, then rows from the beginning."""
    first_null: dict[int, int] = {}
    for number, row in enumerate(data.rows):
        for column, value in enumerate(row):
            if value is None:
                first_null.setdefault(column, number)
    chosen = list(dict.fromkeys([*first_null.values(), *range(len(data.rows))]))[:GOLDEN_ROWS]
    rows = tuple(tuple(data.rows[number]) for number in sorted(chosen))
    answer = predict(estimator, draft, rows)
    return Golden(rows, tuple(answer.values), None if answer.probabilities is None else tuple(answer.probabilities))


def _example(recipe: Recipe, data: TrainingRows) -> Mapping[str, Value]:
    """Return the first row without a null as a request body, with its id."""
    number = next((number for number, row in enumerate(data.rows) if None not in row), 0)
    names = [f.name for f in recipe.fields[0]]
    example = dict(zip(names, data.rows[number], strict=True))
    return example if data.ids is None else {str(recipe.id_field): data.ids[number], **example}


def _parameters(estimator: Any) -> dict[str, Any]:
    """Return the estimator's parameters that JSON can represent."""
    parameters = estimator.get_params() if hasattr(estimator, "get_params") else {}
    return {
        key: value
        for key, value in sorted(parameters.items())
        if value is None or isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value))
    }


# Metrics


def evaluate(estimator: Any, X: Any, y: Any, draft: ManifestDraft, held_out: bool) -> dict[str, float]:
    """Return the metrics on the rows X (rows × inputs) and y: see `measure`.

    Their names begin with `training_` if the estimator was fitted on these rows.
    """
    measured = measure(y, *predict_matrix(estimator, X, draft), draft.signature.output)
    return measured if held_out else {f"training_{name}": value for name, value in measured.items()}


def measure(y: Any, predicted: Any, table: Any, output: Output) -> dict[str, float]:
    """Return the metrics of predictions for rows with the targets `y`, the `headline` first; all are finite.

    Classes: `accuracy`, `balanced_accuracy`; with probabilities (`table`, rows × classes) `average_precision` of the
    rarer of two classes, or the mean over more; if the rows hold every class also `log_loss` and `roc_auc` (for more
    than two classes: the mean of each against the rest); and for two classes of which one is rare
    `recall_at_half_precision`, its recall at a precision of 0.5. Numbers: `r2`, and in the target's unit
    `mean_absolute_error` and `root_mean_squared_error`. `baseline_…` is the metric of always giving the same answer:
    the most frequent class, the shares of the classes as probabilities, or the median.
    """
    measured = (
        _class_metrics(y, predicted, table, output)
        if output.kind is OutputKind.CLASS
        else _number_metrics(y, predicted)
    )
    first = headline(y, output)
    ordered = {name: measured[name] for name in (first, f"baseline_{first}") if name in measured} | dict(measured)
    return {name: float(value) for name, value in ordered.items() if np.isfinite(value)}


def headline(y: Any, output: Output) -> str:
    """Return the most telling metric for rows with the targets `y`.

    If one class is rare, always predicting another one has a high accuracy, so accuracy says little.
    """
    if output.kind is OutputKind.NUMBER:
        return "r2"
    if not out_of_balance(np.asarray(y).tolist()):
        return "accuracy"
    return "average_precision" if output.probabilities else "balanced_accuracy"


def cross_validate(
    fit: Callable[[Any, Any], Any], X: Any, y: Any, draft: ManifestDraft, name: str, seconds: float
) -> tuple[Candidate, OutOfFold | None] | None:
    """Cross-validate the headline metric over `FOLDS` folds of X and y; `name` is the candidate. Also returns the
    out-of-fold probabilities, if any.

    None if that is impossible, or would take too long: `seconds` is the time of one fit. Raises what `fit` raises.
    """
    output = draft.signature.output
    classes = output.kind is OutputKind.CLASS
    fewest = min(Counter(y.tolist()).values()) if classes else len(y)
    if seconds * FOLDS > CROSS_VALIDATION_SECONDS or fewest < FOLDS:
        return None
    splitter: Any = StratifiedKFold if classes else KFold
    metric, started, scores = headline(y, output), time.monotonic(), []
    tables = np.zeros((len(y), len(output.labels or ()))) if output.probabilities else None
    folds = list(splitter(FOLDS, shuffle=True, random_state=FOLDS_SEED).split(X, y))
    answers = Parallel(return_as="generator")(delayed(_fold)(fit, X, y, train, test, draft) for train, test in folds)
    for (_, test), (predicted, table) in zip(folds, answers, strict=True):
        scores.append(measure(y[test], predicted, table, output).get(metric, np.nan))
        if tables is not None:
            tables[test] = table
    mean, spread = float(np.mean(scores)), float(np.std(scores))
    candidate = Candidate(name, metric, mean, spread, time.monotonic() - started)
    return candidate, None if tables is None else OutOfFold(y, tables, tuple(output.labels or ()))


def _fold(fit: Callable[[Any, Any], Any], X: Any, y: Any, train: Any, test: Any, draft: ManifestDraft) -> Any:
    """Return the answers for the rows `test` of the estimator that was fitted on the rows `train`. On a cluster it runs
    on another machine."""
    return predict_matrix(fit(take_rows(X, train), y[train]), take_rows(X, test), draft)


def cross_validated(candidate: Candidate) -> dict[str, float]:
    """Return `cv_<metric>`, the mean over the folds, and `cv_<metric>_spread`, the standard deviation."""
    measured = {f"cv_{candidate.metric}": candidate.mean, f"cv_{candidate.metric}_spread": candidate.spread}
    return {name: value for name, value in measured.items() if np.isfinite(value)}


def _class_metrics(y: Any, predicted: Any, table: Any, output: Output) -> Mapping[str, float]:
    present, counts = np.unique(y, return_counts=True)
    shares, rare = counts / len(y), out_of_balance(y.tolist())
    measured = {
        "accuracy": metrics.accuracy_score(y, predicted),
        "baseline_accuracy": shares.max(),
        # scikit-learn's own function warns about a class that is predicted but does not occur.
        "balanced_accuracy": np.mean([(predicted[y == label] == label).mean() for label in present]),
    }
    if rare:
        measured["baseline_balanced_accuracy"] = 1 / len(present)
    labels = list(output.labels or ())
    if table is None or set(y.tolist()) != set(labels) or not np.isfinite(table).all():
        return measured
    column_of = {label: column for column, label in enumerate(labels)}  # a custom estimator may not sort its classes
    codes = np.array([column_of[label] for label in y.tolist()])
    measured["log_loss"] = metrics.log_loss(codes, table, labels=range(len(labels)))
    measured["baseline_log_loss"] = -(shares * np.log(shares)).sum()
    measured["roc_auc"] = (
        metrics.roc_auc_score(codes, table[:, 1])
        if len(labels) == 2
        else metrics.roc_auc_score(codes, table, multi_class="ovr", labels=range(len(labels)))
    )
    measured["average_precision"] = average_precision(y, table, labels)
    measured["baseline_average_precision"] = shares.min() if len(labels) == 2 else 1 / len(labels)
    if rare and len(labels) == 2:
        label = rarest(y.tolist())[0]
        precision, recall, _ = metrics.precision_recall_curve(y == label, table[:, column_of[label]])
        measured["recall_at_half_precision"] = recall[precision >= REPORTED_PRECISION].max()
    return measured


def _number_metrics(y: Any, predicted: Any) -> Mapping[str, float]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # R² of a single row is NaN and is left out
        r2 = metrics.r2_score(y, predicted)
    return {
        "r2": r2,
        "mean_absolute_error": metrics.mean_absolute_error(y, predicted),
        "baseline_mean_absolute_error": metrics.mean_absolute_error(y, np.full(len(y), np.median(y))),
        "root_mean_squared_error": math.sqrt(metrics.mean_squared_error(y, predicted)),
    }
