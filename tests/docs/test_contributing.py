"""The recipes of CONTRIBUTING name the files that an example of each touches."""

from __future__ import annotations

import re

import pytest

from tests.support import PROJECT

TEXT = (PROJECT / "CONTRIBUTING.md").read_text()
RECIPES = re.findall(r"^### (an? [^\n]+), such as `(\w+)`\n\n((?:(?:\d\.|  ) [^\n]+\n)+)", TEXT, re.MULTILINE)


def test_each_addition_has_a_recipe() -> None:
    added = [what.split(" ", 1)[1] for what, _, _ in RECIPES]
    assert added == [
        "metric",
        "setting",
        "job kind",
        "scope",
        "option of a request",
        "protocol",
        "media type of rows",
        "file format",
        "kernel",
        "page",
        "service",
    ]


@pytest.mark.parametrize(("what", "example", "steps"), RECIPES, ids=[what for what, _, _ in RECIPES])
def test_each_file_of_a_recipe_knows_its_example(what: str, example: str, steps: str) -> None:
    paths = [PROJECT / path for path in re.findall(r"`([\w./-]+(?:/[\w.-]+|\.\w+))`", steps)]
    assert len(paths) >= 3
    word = re.compile(example.replace("_", "[_ -]?"), re.IGNORECASE)
    unaware = [path for path in paths if not word.search(f"{path.name} {path.read_text()}")]
    assert unaware == []
