"""`modelgate explain` and `Model.explain`: what each input adds to the answer."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pandas as pd
import pytest
from modelgate import Client, Invalid
from sklearn.linear_model import LogisticRegression

from contract.model.signature import Output, OutputKind
from contract.rows.background import BACKGROUND_FILE
from tests.client.command.conftest import Modelgate
from tests.stacks.gateways import Site, start_site
from tests.support import Sum, numbers, write_version


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    (models := folder / "models").mkdir()
    write_version(models, "sum", Sum(), numbers("a", "b"), by_value=True)
    output = Output(OutputKind.CLASS, (0, 1), probabilities=True)
    write_version(models, "sign", LogisticRegression().fit([[0, 0], [1, 1]], [0, 1]), numbers("a", "b"), output)
    for name in ("sum", "sign"):
        (models / name / "versions/1/report").mkdir()
        (models / name / "versions/1/report" / BACKGROUND_FILE).write_text("[[0.0, 0.0], [0.0, 4.0]]")
    with start_site(folder, models, spool_dir=folder / "spool") as site:
        site.cluster.start(spool_dir=folder / "spool", workers=1).ready(1)
        yield site


@pytest.fixture
def ask(site: Site, modelgate: Modelgate) -> Modelgate:
    return lambda *arguments, **changes: modelgate(*arguments, MODELGATE_URL=site.gateway.address, **changes)


@pytest.mark.slow
def test_rows_on_the_line_become_a_table_or_json(ask: Modelgate) -> None:
    ended = ask("explain", "sum", '{"a": 5, "b": 3}')
    assert ended.code == 0
    first, _, _, *rows = ended.out.splitlines()
    assert first == "row 0: 8, from a base of 2"
    assert [row.split() for row in rows] == [["a", "+5", "exact"], ["b", "+1", "exact"]]
    ended = ask("explain", "sum", '[{"a": 5, "b": 3}, {"a": 0, "b": 0}]', "--json")
    assert ended.code == 0, ended.err
    both = ended.json
    assert [why["contributions"] for why in both] == [{"a": 5.0, "b": 1.0}, {"a": 0.0, "b": -2.0}]


@pytest.mark.slow
def test_a_file_gets_a_column_for_each_input(ask: Modelgate, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("b,a,id\n3,5,x\n,1,y\n0,0,z\n")
    ended = ask("explain", "sum", tmp_path / "rows.csv", "--exact")
    assert list(csv.DictReader(io.StringIO(ended.out))) == [
        {
            "b": "3",
            "a": "5",
            "id": "x",
            "base": "2.0",
            "value": "8.0",
            "error": "",
            "contribution_a": "5.0",
            "contribution_b": "1.0",
        },
        {
            "b": "",
            "a": "1",
            "id": "y",
            "base": "",
            "value": "",
            "error": "",
            "contribution_a": "",
            "contribution_b": "",
        },
        {
            "b": "0",
            "a": "0",
            "id": "z",
            "base": "2.0",
            "value": "0.0",
            "error": "",
            "contribution_a": "0.0",
            "contribution_b": "-2.0",
        },
    ]
    columns = "SELECT 5.0::DOUBLE AS a, 3.0::DOUBLE AS b FROM range(70)"
    duckdb.sql(columns).write_parquet(str(tmp_path / "rows.parquet"))
    assert ask("explain", "sum", tmp_path / "rows.parquet", "-o", tmp_path / "why.parquet").code == 0
    why = duckdb.read_parquet(str(tmp_path / "why.parquet"))
    assert why.columns == ["a", "b", "base", "value", "error", "contribution_a", "contribution_b"]
    assert why.fetchall() == [(5.0, 3.0, 2.0, 8.0, None, 5.0, 1.0)] * 70


def test_a_file_says_which_class_is_explained(ask: Modelgate, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("a,b\n9,9\n-9,-9\n")
    assert ask("explain", "sign", tmp_path / "rows.csv", "-o", tmp_path / "why.parquet").code == 0
    why = duckdb.read_parquet(str(tmp_path / "why.parquet"))
    assert why.columns == ["a", "b", "base", "value", "class", "error", "contribution_a", "contribution_b"]
    assert why.project('"class", value > 0.9').fetchall() == [("1", True), ("0", True)]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (['{"a": 5'], "the rows are no JSON"),
        (['{"a": "x", "b": 1}'], "'a' must be a finite number"),
        (['{"a": 5, "b": 3}', "--class", "yes"], "predicts no known classes"),
        (['{"a": 5, "b": 3}', "--seed", "-1"], "--seed"),
        (['{"a": 5, "b": 3}', "--of", "high"], "has no output 'high'"),
        (['{"a": 5, "b": 3}', "-o", "why.csv"], "--output and --format are for files"),
        (["missing.csv"], "missing.csv"),
    ],
)
def test_what_cannot_be_explained_is_told(ask: Modelgate, arguments: list[str], says: str) -> None:
    ended = ask("explain", "sum", *arguments)
    assert ended.code != 0
    assert says in ended.err


def test_python_gets_a_list_of_explanations(site: Site) -> None:
    model = Client(site.gateway.address).model("sum")
    found = model.explain(pd.DataFrame({"b": [3.0, 0.0], "a": [5.0, 0.0]}), exact=True, seed=3)
    assert [why["value"] for why in found] == [8.0, 0.0]
    assert json.loads(json.dumps(found)) == found
    with pytest.raises(Invalid, match="has no output 'high'"):
        model.explain([[1.0, 2.0]], output="high")
