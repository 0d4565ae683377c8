"""What is gathered for the site: its navigation, its links, its pictures, and every request."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from contract.settings import Settings
from docs_site.gather import gather
from docs_site.versions import write_versions
from gateway.app import create_app
from gateway.openapi.document import operations, path_of
from tests.docs.test_pages import DOCS


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    gather(folder)
    return folder


def test_every_page_is_in_the_navigation_by_its_kind(folder: Path) -> None:
    home = (folder / "pages" / "index.md").read_text()
    trees = re.findall(r"^```\{toctree\}\n:hidden:\n:caption: (.*)\n\n((?:.+\n)+)```", home, re.MULTILINE)
    entries = {target: caption for caption, tree in trees for target in re.findall(r"<(.+)>", tree)}
    for page in DOCS.rglob("*.md"):
        kind = page.relative_to(DOCS).parts[0]
        if kind in ("tutorial", "how-to", "reference", "explanation"):
            caption = entries[str(page.relative_to(DOCS)).replace("README", "index")]
            assert caption.lower().startswith(kind), page


def test_links_lead_to_where_pages_and_files_are_on_the_site(folder: Path) -> None:
    home = (folder / "pages" / "index.md").read_text()
    assert "(CHANGELOG.md)" in home and (folder / "pages" / "CHANGELOG.md").is_file()
    assert "(files/.env.example)" in home and (folder / "pages" / "files" / ".env.example").is_file()
    assert "(tutorial/index.md)" in home
    assert "](../../bench/RESULTS.md)" not in (folder / "pages" / "explanation" / "performance.md").read_text()


def test_pictures_are_shown_for_light_and_dark_pages_if_there_are_any(folder: Path, tmp_path: Path) -> None:
    assert "{image}" not in (folder / "pages" / "how-to" / "use-the-pages.md").read_text()
    (tmp_path / "pictures").mkdir()
    gather(tmp_path)
    page = (tmp_path / "pages" / "how-to" / "use-the-pages.md").read_text()
    assert "/pictures/models-light.png" in page and "/pictures/models-dark.png" in page


def test_the_page_of_requests_has_each_of_them(folder: Path) -> None:
    page = (folder / "pages" / "reference" / "openapi.md").read_text()
    routes = create_app(Settings(redis_url="redis://localhost")).url_map.iter_rules()  # it does not connect
    calls = [f"### `{method} {path_of(route)}`" for route, method in operations(routes)]
    assert len(calls) > 50
    assert [call for call in calls if f"\n{call}\n" not in page] == []


def test_versions_are_listed_newest_first(tmp_path: Path) -> None:
    for name in ("1.9.0", "1.10.0", "pictures"):
        (tmp_path / name).mkdir()
    write_versions(tmp_path)
    assert (tmp_path / "versions.json").read_text() == '["1.10.0", "1.9.0"]'
    assert "url=1.10.0/" in (tmp_path / "index.html").read_text()
