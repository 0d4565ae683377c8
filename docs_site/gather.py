"""Gathers the pages of the site in one folder, for Sphinx: `python -m docs_site.gather FOLDER`.

The Markdown in docs/ stays as GitHub reads it. Here it gets what a site has besides:

- Navigation: the lists below `### …` of docs/README.md, which is the home page, and that of docs/adr/README.md.
- Pages from outside docs/, if docs/README.md lists them. Other files become downloads.
- What stands in `<!-- site: … -->`; pictures that no browser has made are left out.
- The OpenAPI document as a page, and pages for the docstrings.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from docs_site import openapi_page

PROJECT = Path(__file__).parents[1]
DOCS = PROJECT / "docs"
INDEXES = (DOCS / "README.md", DOCS / "adr" / "README.md")
"""The pages whose lists are the navigation."""

_LISTED = re.compile(r"^- [^\[\n]*\[([^\]]+)\]\(([^)#\s]+\.md)\)", re.MULTILINE)
_CODE = r"(?P<code>^```.*?^```|`[^`\n]+`)"
_LINK = re.compile(_CODE + r"|\]\((?P<path>[^)#:\s]+)(?P<anchor>#[^)\s]*)?\)", re.DOTALL | re.MULTILINE)
_FOR_THE_SITE = re.compile(r"<!-- site: (.*?) -->", re.DOTALL)
_PICTURE = re.compile(r"!\[([^\]]+)\]\((?:\.\./)?pictures/([\w-]+)\.png\)")
_DOCSTRINGS = {
    "client-docstrings.md": ("Docstrings of the client", "modelgate"),
    "kernel-docstrings.md": ("Docstrings of the kernels", "modelgate_kernels"),
}


def gather(folder: Path) -> None:
    """Write all pages into `folder`, which keeps its pictures; the pages of a run before are removed."""
    pages = folder / "pages"
    shutil.rmtree(pages, ignore_errors=True)
    shutil.copytree(DOCS, pages, ignore=shutil.ignore_patterns("*.md", "__pycache__"))
    has_pictures = (folder / "pictures").is_dir()
    if has_pictures:
        shutil.copytree(folder / "pictures", pages / "pictures")
    places = dict(_places())
    for source, place in places.items():
        text = _with_links(_with_site_parts(source.read_text(), has_pictures), source, places, pages)
        if source in INDEXES:
            text += "".join(_toctrees(text))
        _write(pages / place, text)
    for name, (title, module) in _DOCSTRINGS.items():
        _write(pages / "reference" / name, f"# {title}\n\n```{{eval-rst}}\n.. automodule:: {module}\n```\n")
    _write(pages / "reference" / "openapi.md", openapi_page.page())
    _write(pages / "files" / "openapi.json", openapi_page.document_as_json())


def _places() -> Iterator[tuple[Path, Path]]:
    """Yield each page with its place on the site: as in docs/, or as in the repository."""
    for page in sorted(DOCS.rglob("*.md")):
        place = page.relative_to(DOCS)
        yield page, place.with_name("index.md") if place.name == "README.md" else place
    for _, target in _LISTED.findall(INDEXES[0].read_text()):
        page = (DOCS / target).resolve()
        if not page.is_relative_to(DOCS):
            yield page, page.relative_to(PROJECT)


def _with_site_parts(text: str, has_pictures: bool) -> str:
    """Return the page with what only the site shows; a picture stands there twice, for a light and a dark page."""

    def part(matched: re.Match[str]) -> str:
        picture = _PICTURE.fullmatch(matched[1])
        if picture is None:
            return matched[1]
        return "\n\n".join(_image(picture[1], picture[2], mode) for mode in ("light", "dark") if has_pictures)

    return _FOR_THE_SITE.sub(part, text)


def _image(text: str, name: str, mode: str) -> str:
    text = " ".join(text.split())
    return f"```{{image}} /pictures/{name}-{mode}.png\n:alt: {text}\n:class: picture only-{mode}\n```"


def _with_links(text: str, source: Path, places: dict[Path, Path], pages: Path) -> str:
    """Return the text of `source` with links to where the pages and files are on the site.

    A dead link stays, and Sphinx finds it.
    """

    def link(matched: re.Match[str]) -> str:
        if matched["code"]:
            return matched[0]
        target = (source.parent / matched["path"]).resolve()
        if target in places:
            place = places[target]
        elif target.is_file() and not target.is_relative_to(DOCS):
            place = Path("files") / target.relative_to(PROJECT)
            _write(pages / place, target.read_bytes().decode())
        else:
            return matched[0]
        return f"]({os.path.relpath(place, places[source].parent)}{matched['anchor'] or ''})"

    return _LINK.sub(link, text)


def _toctrees(text: str) -> Iterator[str]:
    """Yield the navigation of an index as Sphinx reads it: one tree for each heading, with the texts of the links."""
    for section in re.split(r"^### ", text, flags=re.MULTILINE):
        if entries := _LISTED.findall(section):
            caption = section.partition("\n")[0]
            yield _toctree("" if caption.startswith("#") else f":caption: {caption}\n", entries)


def _toctree(options: str, entries: Iterable[tuple[str, str]]) -> str:
    lines = "".join(f"{text} <{target}>\n" for text, target in entries)
    return f"\n```{{toctree}}\n:hidden:\n{options}\n{lines}```\n"


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


if __name__ == "__main__":
    gather(Path(sys.argv[1]).resolve())
