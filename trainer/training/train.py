"""A training from its request to its result: reads the rows, fits, measures, publishes and promotes."""

from __future__ import annotations

import dataclasses
import json
import traceback
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from threadpoolctl import threadpool_limits

from contract.errors import Code, ModelgateError
from contract.model.experiments import ExperimentPlan
from contract.model.manifest import ModelManifest
from contract.model.repository import CURRENT, Repository, valid_name
from contract.model.version_files import JOB_FILE
from contract.rows.background import background_file, background_sample
from contract.settings import Settings
from contract.work.training import ANYWAY, TrainingRequest, TrainingResult
from runtime.environments import Environments
from scoring.trust import Trust
from storage.disk import code_of, not_written
from trainer import recipes
from trainer.forks import Forks
from trainer.publishing.aliases import retain
from trainer.publishing.experiments import TryOut, described
from trainer.publishing.promotion import Promote
from trainer.publishing.publish import MakeReport, PublishRefused, publish
from trainer.publishing.repositories import repository_of
from trainer.publishing.signing import SigningPolicy
from trainer.recipe import DataError, Log, Recipe, RecipeError, Run, Table
from trainer.report.evidence import Evidence
from trainer.report.facts import gather
from trainer.report.page import draw_report
from trainer.tables import training_rows
from trainer.tables.field_inference import infer_fields
from trainer.tables.outcome_rows import Ask, outcome_table
from trainer.training.assessment import assess
from trainer.training.cluster import on_cluster
from trainer.training.comparison import PublishedVersions
from trainer.training.fitting import fit_and_measure, with_cross_validation
from trainer.training.gate import compared
from trainer.training.phases import Phases, ReportProgress
from trainer.training.row_hashes import hashes, hashes_file


def train(
    request: TrainingRequest,
    settings: Settings,
    report_progress: ReportProgress,
    log: Log,
    promote: Promote,
    job: str = "",
    forks: Forks | None = None,
    ask: Ask | None = None,
    try_out: TryOut | None = None,
) -> TrainingResult:
    """Train, publish and, if the version passes the gate, promote it, or try it out if the gate has an experiment.

    `log` gets the lines of its log. `promote(model, version, alias)` moves the alias and returns None or a remark.
    `forks` verify the version; None: new ones. `ask` asks the observer, which a request with `outcomes` needs; one with
    an experiment needs `try_out`.
    A `job` that was killed after it had published does not train again: its version is promoted.
    Raises `ModelgateError` (`no_data`, `training_failed`, `not_published`, `models_full`) and MemoryError.
    """
    phases, signing = Phases(report_progress), SigningPolicy.from_settings(settings)
    if job and (result := _result_of(repository_of(settings), request.model, job)):
        log(f"version {result.version} is published already: this job was killed after that")
        return _finished(result, request, settings, phases, log, promote, try_out)
    try:
        with threadpool_limits(1), _warnings_to(log):  # one thread: the workers share the machine
            evidence, of_rows = _evidence(request, settings, signing.trust, phases, log, ask)
            phases.enter("reporting")
            report_files = draw_report(gather(evidence))
    except (ModelgateError, MemoryError):
        raise
    except Exception as error:
        # The author of a recipe needs the traceback.
        log("".join(traceback.format_exception(error)).rstrip())
        raise ModelgateError(Code.TRAINING_FAILED, f"training failed: {type(error).__name__}: {error}") from error
    phases.enter("publishing")

    def unpromoted(manifest: ModelManifest) -> TrainingResult:
        """Return the result, with the reason of the gate if it refuses the version."""
        refused = evidence.refused
        return TrainingResult(
            manifest.name,
            manifest.version,
            manifest.metrics,
            False,
            None if refused is None else f"{refused}{_how_to_promote(manifest, request.alias)}",
            evidence.headline,
            evidence.verdict,
            evidence.remarks,
            compared(request.gate, evidence.draft.metrics, evidence.comparison, request.accept),
            phases.tried,
            level=evidence.level,
        )

    def files(manifest: ModelManifest) -> dict[str, bytes]:
        return {**of_rows, **_job_file(job, unpromoted(manifest)), **report_files(manifest)}

    manifest = _published(settings, evidence, files, signing, forks)
    return _finished(unpromoted(manifest), request, settings, phases, log, promote, try_out)


def _finished(
    result: TrainingResult,
    request: TrainingRequest,
    settings: Settings,
    phases: Phases,
    log: Log,
    promote: Promote,
    try_out: TryOut | None,
) -> TrainingResult:
    """Promote the published version, or try it out, unless the gate has refused it; remove old ones, and return the
    result."""
    if result.reason is None:
        phases.enter("promoting")
        plan, replaces = request.gate.experiment, CURRENT in Repository(settings.models_dir).aliases(result.model)
        if plan and try_out and replaces:
            result = _tried(try_out, result, plan)
        else:
            reason, promoted = _promoted(promote, result, request.alias)
            result = dataclasses.replace(result, reason=reason, promoted=promoted)
    phases.end()
    if removed := retain(repository_of(settings), result.model, settings.keep_versions):
        log(f"removed {', '.join(map(str, removed))}, which no alias names (KEEP_VERSIONS={settings.keep_versions})")
    return result


def _evidence(
    request: TrainingRequest, settings: Settings, trust: Trust, phases: Phases, log: Log, ask: Ask | None
) -> tuple[Evidence, Mapping[str, bytes]]:
    """Return the evidence for the report, and the files that keep of the training rows what later requests need."""
    if not valid_name(request.model):
        raise RecipeError(f"{request.model!r:.80} is not a valid model name: use small letters, digits, - and _")
    for problem in recipes.problems(settings.recipes_dir):
        log(problem)
    recipe = recipes.get(request.recipe, settings.recipes_dir)
    parameters = recipe.bind(request.parameters)
    phases.enter("reading")
    if request.outcomes and ask:
        table, request = outcome_table(request, recipe, Repository(settings.models_dir), ask)
    else:
        file = training_rows.requested_file(request, settings)
        table = training_rows.read_table(recipe, file, phases.within)
    phases.enter("profiling")
    recipe, table, remarks = _with_fields(recipe, table, request)
    rows = training_rows.to_rows(recipe, table)
    del table  # its text is large
    log(f"training on {rows.source} ({len(rows.rows)} rows)")

    def report(share: float, done: int, total: int, best: float | None) -> None:
        phases.note_candidates(run)
        phases.candidates(share, done, total, best, run.metric)

    run = Run(*recipe.fields, log, report)
    for remark in remarks:
        run.remark(remark)
    versions = PublishedVersions(Repository(settings.models_dir), trust, Environments(settings.environments_dir))
    phases.enter("fitting")
    with on_cluster(settings.train_cluster, log):
        fitted = fit_and_measure(recipe, rows, run, parameters, versions.replaced(request.model, request.alias))
        phases.enter("evaluating")
        fitted = with_cross_validation(fitted, recipe, run, parameters)
    phases.note_candidates(run)
    draft = dataclasses.replace(fitted.draft, name=request.model, notes=request.notes)
    fitted = dataclasses.replace(fitted, draft=draft)
    phases.within(0.5)
    assessed = assess(fitted, rows, run, request, versions)
    row_hashes = hashes(rows.rows, rows.targets, rows.fingerprint)[fitted.fitted_on]
    learnt = [rows.rows[position] for position in fitted.fitted_on.tolist()]
    return assessed, {**hashes_file(row_hashes), **background_file(background_sample(learnt))}


def _with_fields(recipe: Recipe, table: Table, request: TrainingRequest) -> tuple[Recipe, Table, list[str]]:
    """Return the recipe and the table with fields: the recipe's own, or those inferred from the table."""
    if recipe.inputs is None:
        known, table, remarks = infer_fields(
            recipe, table, request.target, request.features, request.id_field, request.kinds
        )
        return known, table, [*table.remarks, *remarks]
    if request.kinds:
        raise DataError(f"the recipe {recipe.name} has its own kinds: leave out kinds, or use the recipe tabular")
    inputs, target = recipe.fields
    fields = {"target": target.name, "features": [f.name for f in inputs], "id_field": recipe.id_field}
    for name, value in fields.items():
        wanted = getattr(request, name)
        if wanted is not None and (list(wanted) if name == "features" else wanted) != value:
            raise DataError(
                f"the recipe {recipe.name} has its own {name}, {value}: leave it out, or use the recipe tabular"
            )
    return recipe, table, list(table.remarks)


def _published(
    settings: Settings, evidence: Evidence, report: MakeReport, signing: SigningPolicy, forks: Forks | None
) -> ModelManifest:
    try:
        return publish(repository_of(settings), evidence.estimator, evidence.draft, signing, report, forks)
    except PublishRefused as error:
        raise ModelgateError(Code.NOT_PUBLISHED, str(error)) from error
    except OSError as error:
        raise ModelgateError(code_of(error), f"{not_written(error)} and train again") from error


def _how_to_promote(manifest: ModelManifest, alias: str) -> str:
    """Return the words for the request that promotes the version in spite of the gate."""
    path = f"/v1/models/{manifest.name}/aliases/{alias}"
    return f'{ANYWAY}PUT {path} {{"version": {manifest.version}}}'


def _promoted(promote: Promote, result: TrainingResult, alias: str) -> tuple[str | None, bool]:
    """Promote the version. Return a remark or the reason why not, and whether the alias moved."""
    try:
        return promote(result.model, result.version, alias), True
    except ModelgateError as error:
        return str(error), False
    except OSError as error:
        return f"the alias cannot be written ({error.strerror}); fix that and move the alias", False


def _tried(try_out: TryOut, result: TrainingResult, plan: ExperimentPlan) -> TrainingResult:
    """Return the result with the experiment that has begun, or the reason why none has."""
    try:
        experiment = try_out(result.model, result.version, plan)
    except (ModelgateError, OSError) as error:
        return dataclasses.replace(result, reason=f"it is not tried out: {error}")
    reason = f"the experiment {experiment.id} runs: {described(experiment)}"
    return dataclasses.replace(result, reason=reason, experiment=experiment.id)


@contextmanager
def _warnings_to(log: Log) -> Iterator[None]:
    """Log each different warning once."""
    logged: set[str] = set()

    def show(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        line = f"{category.__name__}: {message}"
        if line not in logged:
            logged.add(line)
            log(line)

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield


# The record in each version of the job that has trained it: a job that runs again after a crash finds its version


def _job_file(job: str, result: TrainingResult) -> dict[str, bytes]:
    """Return the file that holds the result."""
    return {JOB_FILE: json.dumps({"job": job, "result": result.to_json()}).encode()}


def _result_of(repository: Repository, model: str, job: str) -> TrainingResult | None:
    """Return the result of the version that `job` has published, or None."""
    for version in reversed(repository.versions(model)):
        with suppress(OSError, ValueError, KeyError, TypeError):
            record = json.loads(repository.files(model, version).report(JOB_FILE))
            if record["job"] == job:
                return TrainingResult(**record["result"])
    return None
