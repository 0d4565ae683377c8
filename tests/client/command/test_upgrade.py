"""`modelgate upgrade`, where it cannot begin. The tests of the images change between releases."""

from __future__ import annotations

from pathlib import Path

from tests.client.command.conftest import Modelgate


def test_without_docker_it_says_what_it_needs_and_what_to_do_instead(modelgate: Modelgate, tmp_path: Path) -> None:
    ended = modelgate("upgrade", tmp_path, PATH=str(tmp_path))
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == "modelgate: upgrade needs docker; without containers: pip install --upgrade modelgate\n"
