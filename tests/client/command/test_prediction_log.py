"""The verbs of the prediction log, on a Modelgate as `make up` starts it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from modelgate import Client

from contract.model.signature import Output, OutputKind
from tests.client.command.conftest import Modelgate
from tests.flow.conftest import MakeUp
from tests.support import numbers, write_version

ROWS = [[5.1, 3.5, 1.4, 0.2], [6.7, 3.1, 5.6, 2.4]]


class Risk:
    """Answers with a column that has a name."""

    def predict(self, rows: Any) -> Any:
        return pd.DataFrame({"risk": np.where(np.asarray(rows)[:, 0] > 0, "yes", "no")})

    def predict_proba(self, rows: Any) -> Any:
        yes = np.where(np.asarray(rows)[:, 0] > 0, 0.75, 0.25)
        return [np.stack([1 - yes, yes], axis=1)]


@pytest.fixture
def iris(running: MakeUp, modelgate: Modelgate) -> Iterator[Modelgate]:
    """The command, while all requests to iris are logged."""
    address = running.address
    yield lambda *arguments: modelgate(*arguments, MODELGATE_URL=address)
    with Client(address) as client:
        client.model("iris").log(share=0)


def test_a_logged_row_is_shown_replayed_and_measured(running: MakeUp, iris: Modelgate, tmp_path: Path) -> None:
    assert "nothing is logged of iris" in iris("logging", "iris").out
    assert iris("logging", "iris", "--share", 1).out == "all requests to iris are logged, for 90 days\n"
    with Client(running.address) as client:
        predicted = [str(label) for label in client.model("iris").predict(ROWS)]
    shown = iris("predictions", "iris", "--limit", 2, "--csv")
    rows = list(csv.DictReader(io.StringIO(shown.out)))
    assert [row["prediction"] for row in rows] == predicted[::-1]
    job = rows[0]["job"]
    assert iris("replay", "iris", "--job", job).out.count("equal to the bit") == 2
    file = tmp_path / "rows.csv"
    file.write_text(shown.out)
    assert iris("outcomes", "iris", file, "--outcome", "prediction").out == "2 new, 0 corrected, 0 repeated\n"
    assert iris("outcomes", "iris", file, "--outcome", "prediction").out == "0 new, 0 corrected, 2 repeated\n"
    measured = iris("outcomes", "iris").out
    assert "2 outcomes of " in measured
    (accuracy,) = (line.split() for line in measured.splitlines() if line.startswith("accuracy"))
    assert accuracy[1] == "1"
    with Client(running.address) as client:
        assert client.model("iris").measured()["metrics"]["accuracy"]["value"] == 1


def test_an_answer_with_a_name_is_logged_without_it_and_replayed(running: MakeUp, modelgate: Modelgate) -> None:
    output = Output(OutputKind.CLASS, ("no", "yes"), probabilities=True, name="risk")
    write_version(running.models, "named", Risk(), numbers("a"), output, by_value=True)
    with Client(running.address) as client:
        named = client.model("named")
        named.log(share=1)
        named.predict([[1.0], [-1.0]])
    shown = modelgate("predictions", "named", "--json", MODELGATE_URL=running.address).json
    assert [(row["prediction"], row["probabilities"]["yes"]) for row in shown] == [("no", 0.25), ("yes", 0.75)]
    assert modelgate("replay", "named", MODELGATE_URL=running.address).out.count("equal to the bit") == 2
    with Client(running.address) as client:
        client.remove("named")


def test_a_row_with_an_input_that_is_left_out_is_not_replayed(running: MakeUp, iris: Modelgate) -> None:
    iris("logging", "iris", "--share", 1, "--leave-out", "petal_width")
    with Client(running.address) as client:
        client.model("iris").predict(ROWS[:1])
        client.model("iris").log(share=0)
    refused = iris("replay", "iris", "--limit", 1)
    assert "cannot be replayed, because the log does not keep petal_width" in refused.out
    assert (refused.code, refused.err) == (1, "modelgate: 1 of 1 row differs or cannot be replayed\n")


def test_a_file_without_the_column_is_refused(iris: Modelgate, tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("customer,paid\n4711,1\n")
    refused = iris("outcomes", "iris", file, "--id", "customer")
    assert (refused.code, refused.err) == (2, f"modelgate: {file} has no column 'outcome'; it has customer, paid\n")
    kept = iris("outcomes", "iris", file, "--id", "customer", "--outcome", "paid")
    assert (kept.code, kept.out) == (0, "1 new, 0 corrected, 0 repeated\n")
