"""The notebook of the examples runs from its first cell to its last."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from tests.qa.clients.conftest import PROJECT, Modelgate, started

FOLDER = PROJECT / "examples" / "notebook"


@pytest.fixture
def own_modelgate(tmp_path: Path) -> Iterator[Modelgate]:
    """A Modelgate for a test that trains."""
    with started(tmp_path, tmp_path / "models", TRAIN_ON_START="iris") as running:
        yield running


def shown(cell: Any) -> str:
    """Return the value of a cell as text."""
    (found,) = [output for output in cell["outputs"] if output["output_type"] == "execute_result"]
    return str(found["data"]["text/plain"])


@pytest.mark.slow
def test_every_cell(own_modelgate: Modelgate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELGATE_URL", own_modelgate.address)
    monkeypatch.setenv("PYTHONPATH", str(PROJECT / "client" / "src"))
    notebook = nbformat.read(FOLDER / "churn.ipynb", as_version=4)
    assert all(not cell.get("outputs") for cell in notebook.cells)
    try:
        NotebookClient(notebook, timeout=600, resources={"metadata": {"path": FOLDER}}).execute()
    finally:
        (FOLDER / "november.scored.csv").unlink(missing_ok=True)
    cells = {cell["source"]: cell for cell in notebook.cells if cell["cell_type"] == "code"}

    def of(part: str) -> Any:
        (found,) = [cell for source, cell in cells.items() if part in source]
        return found

    assert own_modelgate.address in shown(of("mg = Client()"))
    (report,) = [output for output in of("run.report")["outputs"] if output["output_type"] == "execute_result"]
    assert "churn" in report["data"]["text/html"]
    assert set(shown(of("churn.predict(november")).replace("array([", "").split("'")) >= {"yes"}
    assert {"no", "yes"} <= set(shown(of("predict_proba")).split())
    assert "prediction" in shown(of("churn.submit"))
    assert re.match(r"\(False,\s.*at least 0.75", shown(of("poor = mg.train")), re.DOTALL)
    assert "'current': 2" in shown(of("churn.promote"))
    assert "'current': 1" in shown(of("churn.rollback"))
