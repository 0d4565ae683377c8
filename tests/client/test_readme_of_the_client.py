"""The examples of README and of client/README run as they are printed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.flow.conftest import MakeUp
from tests.support import PROJECT

BLOCK = re.compile(r"^```python\n(from modelgate .*?)^```", re.MULTILINE | re.DOTALL)


def block(page: str) -> str:
    """Return the first example of the client on a page."""
    example = BLOCK.search((PROJECT / page).read_text())
    assert example, page
    return example[1]


EXAMPLE = block("client/README.md")


@pytest.mark.slow
@pytest.mark.parametrize("page", ["README.md", "client/README.md", "docs/how-to/use-a-notebook.md"])
def test_an_example_runs(page: str, running: MakeUp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELGATE_URL", running.address)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "churn.csv").write_bytes((PROJECT / "docs" / "tutorial" / "churn.csv").read_bytes())
    exec(compile(block(page), page, "exec"), {"__name__": "__main__"})
