"""Which losses two versions can be compared by, and what bounds them."""

from __future__ import annotations

from dataclasses import replace
from math import log

import pytest

from contract.model.experiments import largest_loss, loss_metrics
from contract.model.manifest import ColumnProfile, DataProfile, ModelManifest
from contract.model.signature import Output, OutputKind, Signature
from tests.contract.model.test_manifest import manifest

__all__ = ["manifest"]

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
