"""Dates with a time zone reach a model in the zone in which it was fitted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pandas as pd
import pytest
from modelgate.publishing import sample_of
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from contract.model.manifest import ManifestDraft
from contract.rows.coercion import coerce
from contract.rows.instances import Grid
from modelgate_artifacts import exported
from scoring.predict import predict
from tests.trainer.importing.imported import refusal, tried
from trainer.importing.assumptions import undecided

SUMMER = pd.date_range("2024-07-01 00:30", periods=48, freq="h", tz="Europe/Berlin")
YEAR = pd.date_range("2024-01-01 00:30", periods=48, freq="200h", tz="Europe/Berlin")


def hours(frame: Any) -> Any:
    return frame.assign(at=frame["at"].dt.hour)


def numbers(frame: Any) -> Any:
    return frame.assign(at=frame["at"].astype("int64"))


def fitted(moments: Any) -> tuple[Any, pd.DataFrame]:
    frame = pd.DataFrame({"at": moments, "a": np.arange(48) % 7 / 2})
    return make_pipeline(FunctionTransformer(hours), LinearRegression()).fit(frame, frame["at"].dt.hour), frame


def answers(model: Any, draft: ManifestDraft, frame: pd.DataFrame, zone: str | None = None) -> Any:
    moments = [(moment.tz_convert(zone) if zone else moment).isoformat() for moment in frame["at"]]
    rows = coerce(Grid(None, list(zip(moments, frame["a"], strict=True))), draft.signature).rows
    return predict(model, draft, rows).values


@pytest.mark.parametrize("told", ["X", "offsets"])
@pytest.mark.parametrize(
    ("moments", "zone"), [(SUMMER, "Europe/Berlin"), (YEAR, "Europe/Berlin"), (SUMMER.tz_convert("UTC"), None)]
)
def test_a_model_gets_dates_in_the_zone_of_its_sample(
    tmp_path: Path, moments: Any, zone: str | None, told: str
) -> None:
    model, frame = fitted(moments)
    sample = (sample_of(frame) or b"").decode() if told == "X" else frame.to_csv(index=False)
    draft = tried(tmp_path, cloudpickle.dumps(model), sample)
    changing = told == "offsets" and moments is YEAR
    assert undecided(draft.remarks) is changing, "a version of an unknown zone waits"
    offset = None if changing else "+02:00"
    assert draft.signature.inputs[0].zone == (zone if told == "X" or zone is None else offset)
    if not changing:
        for sent in ("UTC", "America/New_York", "Europe/Berlin"):
            assert answers(model, draft, frame, sent) == model.predict(frame).tolist()


def test_an_unknown_zone_is_refused(tmp_path: Path) -> None:
    model, frame = fitted(SUMMER)
    for zone in ("Mars/Olympus", "dateutil//etc/passwd", "../etc", "Europe"):
        rows = frame.to_csv(index=False).replace("+02:00", f"+02:00[{zone}]")
        assert f"unknown time zone {zone!r}" in refusal(tmp_path, cloudpickle.dumps(model), rows)


def test_dates_without_an_offset_stay_naive(tmp_path: Path) -> None:
    model, frame = fitted(SUMMER.tz_localize(None))
    field = tried(tmp_path, cloudpickle.dumps(model), (sample_of(frame) or b"").decode()).signature.inputs[0]
    assert (field.naive, field.zone) == (True, None)


@pytest.mark.parametrize("unit", ["ns", "us"])
@pytest.mark.parametrize("moments", [SUMMER, SUMMER.tz_localize(None)], ids=["aware", "naive"])
def test_a_model_gets_dates_in_the_unit_of_its_sample(tmp_path: Path, moments: Any, unit: str) -> None:
    frame = pd.DataFrame({"at": moments.as_unit(unit), "a": np.arange(48) % 7 / 2})
    model = make_pipeline(FunctionTransformer(numbers), LinearRegression()).fit(frame, frame["a"])
    draft = tried(tmp_path, cloudpickle.dumps(model), (sample_of(frame) or b"").decode())
    assert answers(model, draft, frame) == pytest.approx(model.predict(frame).tolist())


def test_an_exported_model_gets_dates_in_their_zone() -> None:
    column = {"name": "at", "kind": "datetime", "nullable": False, "null": "nan", "naive": False}
    for zone, hour in (("Europe/Berlin", 20), (None, 18)):
        assert exported._series(["2024-07-01T18:00:00+00:00"], {**column, "zone": zone}, "float64").dt.hour[0] == hour
