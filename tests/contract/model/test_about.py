"""What people say of a model, in its settings: read whatever is there, edited member by member."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from contract.model.about import LONGEST_DESCRIPTION, MOST_EDITS, About, AboutEdit, edited, history_of
from contract.model.model_settings import ModelSettings
from contract.model.repository import Repository

AT = "2026-01-02T03:04:05.000000Z"


def test_what_is_written_is_read_again() -> None:
    about = About("Says who repays.\n\nOf the branch in Graz.", "Credit risk", ("credit", "eu.prod"))
    assert About.from_json(json.loads(json.dumps(about.to_json()))) == about
    assert ModelSettings.from_json({"about": about.to_json()}).about == about


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        "loan",
        {"description": 1, "owner": [], "tags": "credit"},
        {"description": "x" * (LONGEST_DESCRIPTION + 1), "owner": "two\nlines", "tags": ["UPPER", 7, None, ["a"], ""]},
        {"description": "\x1b[31m", "owner": "\ud800", "tags": {"a": 1}},
    ],
)
def test_what_cannot_be_read_is_empty(data: Any) -> None:
    assert About.from_json(data) == About()


def test_a_wrong_member_does_not_hide_the_others() -> None:
    assert About.from_json({"owner": "Ann", "tags": ["a", "B", "a"], "description": 3}) == About("", "Ann", ("a",))


def test_an_edit_keeps_the_other_members_and_settings_and_remembers_what_it_changed() -> None:
    settings = edited({"warn_unusual": False, "about": {"owner": "Ann"}}, {"tags": ["eu"]}, "bob", AT)
    settings = edited(settings, {"owner": "Eve", "tags": ["eu"]}, "eve", AT)
    assert settings["warn_unusual"] is False
    assert About.from_json(settings["about"]) == About("", "Eve", ("eu",))
    assert history_of(settings) == [AboutEdit(AT, "eve", {"owner": "Ann"}), AboutEdit(AT, "bob", {"tags": []})]


def test_an_edit_that_changes_nothing_is_not_in_the_history() -> None:
    settings = edited({}, {"owner": "Ann"}, "ann", AT)
    assert edited(settings, {"owner": "Ann", "description": ""}, "bob", AT) == settings


def test_the_history_ends_after_fifty_edits() -> None:
    settings: dict[str, Any] = {}
    for number in range(MOST_EDITS + 2):
        settings = edited(settings, {"owner": f"owner {number}"}, "ann", AT)
    history = history_of(settings)
    assert len(history) == 50
    assert [edit.before["owner"] for edit in (history[0], history[-1])] == ["owner 50", "owner 1"]


def test_long_descriptions_do_not_fill_the_history_without_end() -> None:
    settings: dict[str, Any] = {}
    for number in range(30):
        settings = edited(settings, {"description": f"{number}" + "ü" * 3_900}, "ann", AT)
    history = history_of(settings)
    assert len(json.dumps(settings)) < 300_000
    assert [edit.before["description"][:2] for edit in history[:2]] == ["28", "27"] and 8 < len(history) < 12


@pytest.mark.parametrize("history", [None, 3, "x", [1, {"before": 2}, None]])
def test_a_history_that_cannot_be_read_is_empty(history: Any) -> None:
    assert history_of({"about_history": history}) == []


@pytest.mark.parametrize("text", ["[]", "null", "{", '{"about_history": [{"before": {"owner": "Ann", "more": 1}}]}'])
def test_the_repository_reads_the_history_of_any_settings(text: str, tmp_path: Path) -> None:
    (tmp_path / "sum").mkdir()
    (tmp_path / "sum/settings.json").write_text(text)
    history = Repository(tmp_path).about_history("sum")
    assert history == ([AboutEdit("", "", {"owner": "Ann"})] if "Ann" in text else [])
