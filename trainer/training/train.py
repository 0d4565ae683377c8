"""A training from its request to its result: read, learn, measure, publish, and promote what passes the gate."""

from __future__ import annotations

import dataclasses
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from contract.errors import Code, ModelgateError
from contract.manifest import ModelManifest
from contract.repository import valid_name
from contract.settings import Settings
from contract.training import TrainingRequest, TrainingResult
from scoring.trust import Trust
from trainer import recipes
from trainer.publishing.aliases import retain
from trainer.publishing.publish import PublishRefused, publish
from trainer.publishing.signing import Seal
from trainer.publishing.swap import Promote
from trainer.recipe import DataError, Recipe, RecipeError, Run, Say, Table
from trainer.report import Report
from trainer.report.evidence import Evidence
from trainer.tables import data
from trainer.tables.inference import infer
from trainer.training.findings import findings
from trainer.training.learning import learn, with_cross_validation
from trainer.training.phases import Phases, Tell
from trainer.training.seen import hashes, save


def train(
    request: TrainingRequest,
    settings: Settings,
    tell: Tell,
    say: Say,
    promote: Promote,
    csv_file: Path | None = None,
) -> TrainingResult:
    """The result of `request`, whose version is published, and promoted if it passes the gate.

    `tell` hears how far it is, and `say` the lines of its log. `promote(model, version, alias)` moves the alias and
    returns None or a remark. `csv_file`, of somebody who may read all files here, goes before what the request names.
    Raises `ModelgateError` (`no_data`, `training_failed`, `not_published`), MemoryError, and OSError where the model
    repository cannot be written.
    """
    phases, seal = Phases(tell), Seal.from_settings(settings)
    try:
        # Training shares the machine with what serves.
        with threadpool_limits(1), _warnings_to(say):
            evidence, learnt = _evidence(request, settings, seal.trust, phases, say, csv_file)
            phases.enter("reporting")
            report = Report.of(evidence)
    except (ModelgateError, MemoryError):
        raise
    except Exception as error:
        # A recipe's author needs the place, too.
        say("".join(traceback.format_exception(error)).rstrip())
        raise ModelgateError(Code.TRAINING_FAILED, f"training failed: {type(error).__name__}: {error}") from error
    phases.enter("publishing")

    def write(folder: Path, manifest: ModelManifest) -> None:
        save(folder, learnt)
        report.write(folder, manifest)

    manifest = _published(settings.models_dir, evidence, write, seal)
    if evidence.refused is None:
        phases.enter("promoting")
        reason, promoted = _promoted(promote, manifest, request.alias)
    else:
        reason, promoted = f"{evidence.refused}; {_all_the_same(manifest, request.alias)}", False
    phases.end()
    if removed := retain(settings.models_dir, manifest.name, settings.keep_versions):
        say(f"removed {', '.join(map(str, removed))}, which no alias names (KEEP_VERSIONS={settings.keep_versions})")
    return TrainingResult(
        manifest.name,
        manifest.version,
        manifest.metrics,
        promoted,
        reason,
        evidence.headline,
        evidence.verdict,
        evidence.remarks,
    )


def fit(recipe: Recipe, rows: data.TrainingRows) -> tuple[Any, ModelManifest]:
    """The fitted estimator and its manifest, which lacks what only publishing knows."""
    learnt = learn(recipe, rows, Run(*recipe.fields), recipe.bind({}))
    return learnt.estimator, learnt.manifest


def _evidence(
    request: TrainingRequest,
    settings: Settings,
    trust: Trust,
    phases: Phases,
    say: Say,
    csv_file: Path | None,
) -> tuple[Evidence, Any]:
    """Return the evidence for the report, and the hashes of the rows that were learnt from."""
    if not valid_name(request.model):
        raise RecipeError(f"{request.model!r:.80} is no name for a model: use small letters, digits, - and _")
    for problem in recipes.problems(settings.recipes_dir):
        say(problem)
    recipe = recipes.get(request.recipe, settings.recipes_dir)
    parameters = recipe.bind(request.parameters)
    file = data.by_hand(csv_file) if csv_file else data.asked_for(request, settings)
    recipe, rows, remarks = _rows(recipe, file, request, phases)
    say(f"training on {rows.source} ({len(rows.rows)} rows)")

    def tell(share: float, done: int, total: int, best: float | None) -> None:
        phases.candidates(share, done, total, best, run.metric)

    run = Run(*recipe.fields, say, tell)
    for remark in remarks:
        run.remark(remark)
    phases.enter("fitting")
    learnt = learn(recipe, rows, run, parameters)
    phases.enter("evaluating")
    learnt = with_cross_validation(learnt, recipe, run, parameters)
    manifest = dataclasses.replace(learnt.manifest, name=request.model, notes=request.notes)
    learnt = dataclasses.replace(learnt, manifest=manifest)
    phases.within(0.5)
    found = findings(learnt, rows, run, request, settings.models_dir, trust)
    return found, hashes(rows.rows, rows.targets, rows.fingerprint)[learnt.fitted_on]


def _rows(
    recipe: Recipe, file: data.CsvFile | None, request: TrainingRequest, phases: Phases
) -> tuple[Recipe, data.TrainingRows, list[str]]:
    """The recipe with its fields, the rows and remarks on them. The text of the table is forgotten after that."""
    phases.enter("reading")
    table = data.table(recipe, file, phases.within)
    phases.enter("profiling")
    recipe, table, remarks = _with_fields(recipe, table, request)
    return recipe, data.to_rows(recipe, table), remarks


def _with_fields(recipe: Recipe, table: Table, request: TrainingRequest) -> tuple[Recipe, Table, list[str]]:
    """The recipe's own fields, or those that the table suggests to a recipe without."""
    if recipe.inputs is None:
        known, table, remarks = infer(recipe, table, request.target, request.features, request.id_field, request.kinds)
        return known, table, [*table.remarks, *remarks]
    if request.kinds:
        raise DataError(f"the recipe {recipe.name} has kinds of its own: leave kinds out, or use tabular")
    inputs, target = recipe.fields
    own = {"target": target.name, "features": [f.name for f in inputs], "id_field": recipe.id_field}
    for name, value in own.items():
        asked = getattr(request, name)
        if asked is not None and (list(asked) if name == "features" else asked) != value:
            raise DataError(f"the recipe {recipe.name} has a {name} of its own, {value}: leave it out, or use tabular")
    return recipe, table, list(table.remarks)


def _published(
    root: Path, evidence: Evidence, write: Callable[[Path, ModelManifest], None], seal: Seal
) -> ModelManifest:
    try:
        return publish(root, evidence.estimator, evidence.manifest, seal, write)
    except PublishRefused as error:
        raise ModelgateError(Code.NOT_PUBLISHED, str(error)) from error


def _all_the_same(manifest: ModelManifest, alias: str) -> str:
    """Return the request that promotes the version in spite of the gate."""
    path = f"/v1/models/{manifest.name}/aliases/{alias}"
    return f'to promote it anyway: PUT {path} {{"version": {manifest.version}}}'


def _promoted(promote: Promote, manifest: ModelManifest, alias: str) -> tuple[str | None, bool]:
    """What is to be said about the alias, and whether it was moved: the version is published in any case."""
    try:
        return promote(manifest.name, manifest.version, alias), True
    except ModelgateError as error:
        return str(error), False
    except OSError as error:
        return f"the alias cannot be written ({error.strerror}); move it by hand when that is mended", False


@contextmanager
def _warnings_to(say: Say) -> Iterator[None]:
    """Each different warning once into the log."""
    said: set[str] = set()

    def show(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        line = f"{category.__name__}: {message}"
        if line not in said:
            said.add(line)
            say(line)

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield
