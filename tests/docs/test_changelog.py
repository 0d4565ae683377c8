"""The list of changes has releases with dates and groups."""

from __future__ import annotations

import re

from contract.release import VERSION
from tests.support import PROJECT

RELEASES = re.split(r"^## ", (PROJECT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)[1:]
HEADINGS = [release.partition("\n")[0] for release in RELEASES]


def test_each_release_has_a_date_and_only_what_lands_now_has_none() -> None:
    released = HEADINGS[HEADINGS[0] == "Unreleased" :]
    assert released
    assert all(re.fullmatch(r"\d+\.\d+\.\d+ \(\d{4}-\d\d-\d\d\)", heading) for heading in released)


def test_the_newest_release_is_the_version_of_the_project() -> None:
    assert HEADINGS[HEADINGS[0] == "Unreleased"].startswith(f"{VERSION} ")


def test_the_changes_of_a_release_are_grouped() -> None:
    for release in RELEASES:
        groups = re.findall(r"^### (.*)$", release, re.MULTILINE)
        assert groups == [group for group in ("Added", "Changed", "Fixed", "Security") if group in groups]
