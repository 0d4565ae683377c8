"""A release is made from a clean tag, and not without what only the owner can give."""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from contract.release import VERSION
from deploy import release
from tests.support import PROJECT
from trainer.publishing.signing import make_keys

GIT = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org"]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project that could be released, but for the key."""
    folder = tmp_path / "project"
    for name in release.DISTRIBUTIONS:
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / "pyproject.toml").write_text('[project]\nname = "a"\nlicense = "MIT"\n')
    (folder / "LICENSE").write_text("…")
    (folder / "SECURITY.md").write_text("Write to security@example.org.")
    (folder / "CHANGELOG.md").write_text(
        f"# Changes\n\n## {VERSION} (2026-11-24)\n\nAll new.\n\n## 0.9.0 (2025-01-01)\n"
    )
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "all"], ["tag", f"v{VERSION}"]):
        subprocess.run([*GIT, *command], cwd=folder, check=True)
    return folder


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    return make_keys(tmp_path / "keys")


def test_a_clean_tag_with_all_that_the_owner_gives_can_be_released(project: Path, keys: tuple[Path, Path]) -> None:
    assert list(release.problems(project, {release.KEY: str(keys[0])})) == []


def test_all_that_is_missing_is_named_at_once(project: Path) -> None:
    subprocess.run([*GIT, "tag", "-d", f"v{VERSION}"], cwd=project, check=True, capture_output=True)
    (project / "SECURITY.md").write_text("Write to CONTACT.")
    (project / "LICENSE").unlink()
    (project / "CHANGELOG.md").write_text("# Changes\n\n## Unreleased\n")
    (project / "client" / "pyproject.toml").write_text('[project]\nname = "a"\n')
    (project / "dist" / VERSION).mkdir(parents=True)
    named = "\n".join(release.problems(project, {}))
    for part in ("not committed", f"git tag v{VERSION}", "CHANGELOG.md has no", "CONTACT", "no LICENSE"):
        assert part in named
    for part in ("client/pyproject.toml names no licence", f"dist/{VERSION} exists", release.KEY):
        assert part in named
    assert len(named.splitlines()) == 8


def test_this_tree_lacks_only_what_the_owner_gives_and_a_tag(keys: tuple[Path, Path]) -> None:
    lacking = {"licen", "LICENSE", "CONTACT", "no tag", "not committed", "exists already"}
    named = list(release.problems(PROJECT, {release.KEY: str(keys[0])}))
    assert [problem for problem in named if not any(part in problem for part in lacking)] == []


def test_the_notes_are_the_section_of_the_release(project: Path) -> None:
    text = (project / "CHANGELOG.md").read_text()
    assert (release.notes(text, VERSION), release.notes(text, "2.0.0")) == ("All new.\n", None)
    assert "### Added" in (release.notes((PROJECT / "CHANGELOG.md").read_text(), VERSION) or "")


def test_the_checksums_can_be_checked_with_common_tools(tmp_path: Path, keys: tuple[Path, Path]) -> None:
    folder = tmp_path / "dist"
    folder.mkdir()
    (folder / "a.whl").write_bytes(b"a")
    (folder / "NOTES.md").write_text("b")
    release.sign(folder, release._key({release.KEY: str(keys[0])}))
    checked = subprocess.run(["sha256sum", "--check", "SHA256SUMS"], cwd=folder, capture_output=True, text=True)
    assert checked.stdout == "NOTES.md: OK\na.whl: OK\n"
    public = load_pem_public_key(keys[1].read_bytes())
    signature = base64.b64decode((folder / "SHA256SUMS.sig").read_bytes())
    public.verify(signature, (folder / "SHA256SUMS").read_bytes())  # type: ignore[union-attr, call-arg]
