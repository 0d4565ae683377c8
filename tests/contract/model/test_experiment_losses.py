"""What an experiment is: whom it takes, by which losses versions are compared, and what is written of it."""

from __future__ import annotations

from dataclasses import replace
from math import log

import pytest

from contract.model.experiments import (
    Experiment,
    ExperimentKind,
    ExperimentLimits,
    ExperimentPlan,
    Requirement,
    largest_loss,
    loss_metrics,
)
from contract.model.manifest import ColumnProfile, DataProfile, ModelManifest
from contract.model.model_settings import EXPERIMENTS, ModelSettings
from contract.model.signature import Output, OutputKind, Signature
from contract.work.training import Gate, TrainingRequest
from tests.contract.model.test_manifest import manifest

__all__ = ["manifest"]

PLAN = ExperimentPlan(
    ExperimentKind.CANARY,
    "brier",
    0.25,
    (0.01, 0.05),
    require=Requirement.BETTER,
    limits=ExperimentLimits(distance=0.1),
)
EXPERIMENT = Experiment("x1", 3, 4, PLAN, "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z", 0.01, "2026-01-01T00:00:00Z")
NUMBER, CLASS = Output(OutputKind.NUMBER), Output(OutputKind.CLASS, (0, 1))
CERTAIN = replace(CLASS, probabilities=True)


def signature(*outputs: Output) -> Signature:
    return Signature((), outputs)


@pytest.mark.parametrize(
    ("outputs", "metrics"),
    [
        ([[CERTAIN], [CERTAIN]], ("log_loss", "brier", "accuracy")),
        ([[CERTAIN], [CLASS]], ("accuracy",)),
        ([[NUMBER]], ("mean_absolute_error",)),
        ([[NUMBER], [CLASS]], ()),
        ([[CLASS, CLASS], [CLASS]], ()),
        ([[], [CLASS]], ()),
    ],
)
def test_metrics_fit_both_versions(outputs: list[list[Output]], metrics: tuple[str, ...]) -> None:
    assert loss_metrics(*(signature(*of_version) for of_version in outputs)) == metrics


def test_losses_have_bounds(manifest: ModelManifest) -> None:
    def profiled(*edges: float) -> ModelManifest:
        return replace(manifest, profile=DataProfile(10, (), (ColumnProfile(0, edges),)))

    bare = replace(manifest, profile=None)
    assert largest_loss("accuracy", bare) == largest_loss("brier", bare) == 1.0
    assert largest_loss("log_loss", bare) == -log(0.001)
    assert largest_loss("mean_absolute_error", bare, profiled(5.0, 7.0, 50.0), profiled(0.0, 1.0)) == 45.0
    assert largest_loss("mean_absolute_error", bare, profiled(5.0, 5.0)) is None


def test_what_is_written_is_read_back_and_what_cannot_be_read_is_left_out() -> None:
    assert Experiment.from_json(EXPERIMENT.to_json()) == EXPERIMENT
    settings = ModelSettings.from_json({EXPERIMENTS: [{"id": "x0"}, EXPERIMENT.to_json()]})
    assert settings.experiment == EXPERIMENT


def test_a_training_request_has_its_experiment_only_if_there_is_one() -> None:
    request = TrainingRequest("loan", "tabular", gate=Gate(experiment=PLAN))
    assert TrainingRequest.from_json(request.to_json()) == request
    plain = replace(request, gate=Gate(floor=0.5))
    assert plain.to_json()["gate"] == {"metric": None, "floor": 0.5, "margin": None}
    assert TrainingRequest.from_json(plain.to_json()) == plain


def test_a_larger_share_takes_the_same_keys_and_more() -> None:
    keys = [str(number) for number in range(1_000)]
    taken = [{key for key in keys if replace(EXPERIMENT, share=share).takes(key)} for share in (0.01, 0.05, 0.25, 1)]
    assert taken[0] < taken[1] < taken[2] < taken[3] == set(keys)
    assert {key for key in keys if replace(EXPERIMENT, id="x2", share=0.25).takes(key)} != taken[2]
