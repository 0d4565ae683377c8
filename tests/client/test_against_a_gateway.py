"""The client and a real gateway under gunicorn; jobs are finished as a scorer would."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import modelgate
import numpy as np
import pandas as pd
import pytest
from modelgate import Client
from modelgate.mlflow_models import name_of
from redis import Redis

from contract.model.manifest import InputFormat
from contract.settings import Settings
from contract.work.jobs import PredictionOutcome
from tests.client.conftest import interrupted
from tests.gateway.conftest import scorer
from tests.stacks.gateways import Gateway, serving
from tests.support import Sum, numbers, write_version

KEY = "k" * 40


@pytest.mark.usefixtures("scoring")
def test_rows_of_each_type_are_answered_and_errors_have_the_sentence_of_the_server(server: Gateway) -> None:
    mg = Client(server.address, timeout=60)
    total = mg.model("sum")
    frame = pd.DataFrame({"b": [1, 2], "a": [10.5, 20.5]}, index=["x", "y"])
    for rows in (frame, frame[["a", "b"]].to_numpy(), [[10.5, 1], [20.5, 2]], frame.to_dict("records")):
        answers = total.predict(rows)
        assert isinstance(answers, np.ndarray) and answers.tolist() == [11.5, 22.5]
    with pytest.warns(modelgate.ModelgateWarning, match="ignored columns that are not inputs of the model: 'c'"):
        total.predict(frame.assign(c=0))
    with pytest.raises(modelgate.Invalid, match="row 1: 'b' must be a finite number; it is 'two'") as refused:
        total.predict([[1, 2], [1, "two"]])
    assert isinstance(refused.value, ValueError) and refused.value.errors[0]["field"] == "b"
    with pytest.raises(ValueError, match="Expected 2D array, got 1D array instead"):
        total.predict([1, 2])
    with pytest.raises(ValueError, match="the request has no rows"):
        total.predict([])
    assert not hasattr(total, "transform")
    with pytest.raises(AttributeError, match="'sum' is served and cannot be fitted here"):
        total.fit(frame, [1, 2])
    with pytest.raises(modelgate.NotFound, match="did you mean 'sum'"):
        mg.model("summ")
    with pytest.raises(modelgate.UnknownMethod):
        mg.request("POST", "/v1/models/sum/transform", json=[[1, 2]])
    # the queue takes five rows, so these go in parts
    assert total.predict(np.ones((23, 2))).tolist() == [2.0] * 23


@pytest.mark.slow
def test_a_card_is_a_dict_or_markdown(server: Gateway) -> None:
    total = Client(server.address, timeout=60).model("sum")
    card = total.card()
    assert (card["name"], card["version"], [one["name"] for one in card["inputs"]]) == ("sum", 1, ["a", "b"])
    assert total.card(version=1, format="markdown").startswith("# sum, version 1\n")
    with pytest.raises(modelgate.NotFound):
        total.card(7)
    with pytest.raises(ValueError, match="format must be 'json' or 'markdown', not 'html'"):
        total.card(format="html")


@pytest.mark.slow
@pytest.mark.usefixtures("scoring")
def test_an_error_has_the_number_of_its_row_also_if_the_rows_go_in_parts(settings: Settings) -> None:
    rows: list[Any] = [[1, 2]] * 10_003
    with serving(settings) as server:
        total = Client(server.address, timeout=60).model("sum")
        rows[10_001:] = [1, "two"], {"a": 1}
        with pytest.raises(modelgate.Invalid, match="row 10001: 'b' must be a finite number; it is 'two'") as refused:
            total.predict(rows)
        assert [error["row"] for error in refused.value.errors] == [10_001, 10_002]
        rows[10_001:] = [[1, 2], [1]]
        with pytest.raises(modelgate.Invalid, match=r"^row 10002: row 10002 ") as refused:
            total.predict(rows)


@pytest.fixture
def weighing(redis: Redis) -> Iterator[None]:
    """Finishes every job with ten times the first input of a row and the second one."""
    with scorer(redis, lambda job: PredictionOutcome([10 * row[0] + row[1] for row in job.rows], None, [], 0.5, 1)):
        yield


@pytest.mark.slow
@pytest.mark.usefixtures("weighing")
def test_columns_reach_the_inputs_of_their_names_also_after_the_current_version_has_changed(
    settings: Settings, server: Gateway
) -> None:
    frame = pd.DataFrame({"b": [2.0], "a": [1.0]})
    by_position, by_name = numbers("x0", "x1"), numbers("a", "b")
    write_version(settings.models_dir, "moves", Sum(), by_position)
    model = Client(server.address, timeout=60).model("moves")
    assert model.predict(frame).tolist() == [21.0]
    write_version(settings.models_dir, "moves", Sum(), by_name, version=2, input_format=InputFormat.DATAFRAME)
    assert model.predict(frame).tolist() == [12.0]
    write_version(settings.models_dir, "moves", Sum(), by_position, version=3)
    assert model.predict(frame).tolist() == [21.0]
    jobs = [job.version for job in Client(server.address).jobs(model="moves")]
    assert model.predict(frame).tolist() == [21.0] and jobs == [3, 2, 2, 1]
    with pytest.raises(modelgate.Invalid, match="row 0: 'x1' must be a finite number"):
        model.predict([[1, "two"]])


@pytest.mark.slow
def test_a_wait_ends_with_its_time_out_and_ctrl_c_cancels_the_job(server: Gateway) -> None:
    mg = Client(server.address, timeout=60)
    total = mg.model("sum")
    waiting = Client(server.address, timeout=5).model("sum")
    with pytest.raises(modelgate.TimedOut, match=r"did not answer within \d s"):
        waiting.predict([[1, 2]])
    assert [job.status for job in mg.jobs()] == ["canceled"]
    with interrupted(lambda: next(mg.jobs(status="queued"), None), "a queued job"):
        total.predict([[3, 4]])
    assert [job.status for job in mg.jobs()] == ["canceled", "canceled"]


@pytest.mark.slow
@pytest.mark.usefixtures("scoring")
def test_a_key_that_may_only_predict_gets_plain_types(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(settings, ADMIN_KEY=KEY) as server:
        with pytest.raises(modelgate.Unauthorized, match="the request has no key; set MODELGATE_API_KEY"):
            Client(server.address).models()
        made = Client(server.address, KEY).request("POST", "/v1/keys", json={"name": "ci", "scopes": ["predict"]})
        monkeypatch.setenv("MODELGATE_URL", server.address)
        monkeypatch.setenv("MODELGATE_API_KEY", made["secret"])
        assert Client().model("sum").predict(pd.DataFrame({"a": [1.0], "b": [2.0]})).tolist() == [3.0]
        with pytest.raises(modelgate.Forbidden, match="scope"):
            Client().models()


@pytest.mark.slow
def test_a_version_is_exported_into_a_new_folder(server: Gateway, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    mg, folder = Client(server.address, timeout=60), tmp_path / "here/out"
    assert mg.export("sum@1", folder) == folder
    manifest = json.loads((folder / "data/version.json").read_text())
    assert (manifest["name"], manifest["version"]) == ("sum", 1)
    assert [path.name for path in folder.parent.iterdir()] == ["out"]
    with pytest.raises(modelgate.ModelgateError, match="out is there, and not an empty folder; name a new one"):
        mg.export("sum", folder)
    (tmp_path / "empty").mkdir()
    assert (mg.export("sum", tmp_path / "empty") / "MLmodel").is_file()
    with pytest.raises(modelgate.NotFound, match="no version or alias '7'"):
        mg.export("sum@7", tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_model_of_mlflow_needs_its_library(tmp_path: Path) -> None:
    (tmp_path / "MLmodel").write_text("{}")
    for model in ("models:/loan/3", "runs:/abc/model", tmp_path):
        with pytest.raises(modelgate.ModelgateError, match=r"pip install 'modelgate-client\[mlflow\]'"):
            Client("http://127.0.0.1:9").publish("loan", model)


def test_a_model_of_mlflow_keeps_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = {"models:/Loan Model/3": "Loan Model", "models:/loan@champion": "loan", "runs:/abc/a/model": "model"}
    assert {reference: name_of(reference) for reference in names} == names
    monkeypatch.chdir(tmp_path)
    assert name_of(".") == tmp_path.name
    with pytest.raises(modelgate.ModelgateError, match="has an id and no name"):
        name_of(f"models:/m-{'0' * 32}")
