"""The pages of the documentation fit together."""

from __future__ import annotations

import re
from pathlib import Path

import grpc
import pytest

from contract.env_example import example
from tests.support import PROJECT

DOCS = PROJECT / "docs"
PAGES = [
    PROJECT / "README.md",
    PROJECT / "CONTRIBUTING.md",
    PROJECT / "CHANGELOG.md",
    PROJECT / "models" / "README.md",
    *sorted(DOCS.rglob("*.md")),
]
CURRENT = [page for page in PAGES if page.name != "CHANGELOG.md"]
"""The pages that speak of this release only."""


def relative(page: Path) -> str:
    return str(page.relative_to(PROJECT))


def prose(page: Path) -> str:
    """The page without its blocks of code, and without what only the site shows."""
    return re.sub(r"^```.*?^```$|<!--.*?-->", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_a_link_leads_to_a_file_and_a_heading_that_exist(page: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)#:]*)(?:#([^)]*))?\)", prose(page)):
        linked = (page.parent / target).resolve() if target else page
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), f"{target}#{anchor}"


def test_the_index_leads_to_every_page() -> None:
    index = prose(DOCS / "README.md")
    for page in DOCS.rglob("*.md"):
        if page.name != "README.md" and page.parent.name != "adr":
            assert f"({page.relative_to(DOCS)})" in index, relative(page)


def test_the_list_of_decisions_leads_to_every_decision() -> None:
    index = (DOCS / "adr" / "README.md").read_text()
    for page in (DOCS / "adr").glob("0*.md"):
        assert f"({page.name})" in index, page.name


def test_a_page_that_the_code_names_exists() -> None:
    sources = [*PROJECT.glob("*/**/*.py"), *PROJECT.glob("*/**/*.lua"), *PROJECT.glob("*/**/Dockerfile")]
    named = {
        page
        for source in sources
        if not any(part.startswith(".venv") for part in source.relative_to(PROJECT).parts)
        for page in re.findall(r"\bdocs/[\w/.-]+\.md", source.read_text())
    }
    assert named
    assert [name for name in named if not (PROJECT / name).exists()] == []


WORDS = (
    "model repository",
    "model version",
    "artifact",
    "manifest",
    "signature",
    "alias",
    "instances",
    "prediction job",
    "training job",
    "model cache",
    "scorer",
    "recipe",
    "batch",
)
"""The words that the project agreed on first."""


def test_the_glossary_has_each_word_once_in_one_line_in_order() -> None:
    sections = prose(DOCS / "glossary.md").split("\n## ")[1:]
    by_section = [re.findall(r"^- \*\*(.+?)\*\*: .+", section, re.MULTILINE) for section in sections]
    words = [word for section in by_section for word in section]
    assert [word for word in WORDS if word not in words] == []
    assert len(words) == len(set(words))
    assert all(section == sorted(section) for section in by_section)
    assert all(line.startswith("- **") for section in sections for line in section.splitlines()[1:] if line)


def test_each_test_that_a_promise_names_exists() -> None:
    table = re.search(r"^## Promised\n(.*?)^## ", (DOCS / "reference" / "reliability.md").read_text(), re.S | re.M)
    assert table
    rows = re.findall(r"^\| (?!promise|---)(.*?) \| (.*) \|$", table[1], re.MULTILINE)
    assert rows
    makefile = (PROJECT / "Makefile").read_text()
    for promise, shown_by in rows:
        named = re.findall(r"`(.+?)`", shown_by)
        assert named, promise
        for proof in named:
            if proof.startswith("make "):
                assert f"\n{proof.split()[1]}:" in makefile, proof
            elif proof.startswith("python -m "):
                module = PROJECT / proof.split()[2].replace(".", "/")
                assert module.with_suffix(".py").exists() or (module / "__main__.py").exists(), proof
            else:
                file, _, function = proof.partition("::")
                assert (PROJECT / file).is_file(), proof
                assert re.search(rf"^def {function}\(", (PROJECT / file).read_text(), re.M), proof


@pytest.mark.parametrize("page", CURRENT, ids=relative)
def test_a_file_that_a_page_names_exists(page: Path) -> None:
    folders = "contract|runtime|broker|scoring|gateway|worker|trainer|launcher|client|kernels|bench|tests|docs"
    named = re.findall(rf"`((?:{folders})/[\w/.-]*)`", prose(page))
    assert [name for name in named if not (PROJECT / name).exists()] == []


@pytest.mark.parametrize("page", CURRENT, ids=relative)
def test_a_setting_that_a_page_names_exists(page: Path) -> None:
    settings = set(re.findall(r"(?m)^# ([A-Z_]+)=", example()))
    settings |= {
        "HTTPS_PROXY",
        "NO_PROXY",
        "REQUESTS_CA_BUNDLE",
        "XDG_CONFIG_HOME",
        "MLFLOW_TRACKING_URI",
    }  # the client's
    settings |= {*(code.name for code in grpc.StatusCode), "NOT_SERVING"}
    settings |= {"REDIS_SCHEME", "REDIS_ADDRESS"}  # deploy/kubernetes makes REDIS_URL of them
    settings |= {f"MODELGATE_{name}" for name in ("URL", "API_KEY", "HOME", "PROFILE", "SIGNING_KEY")}
    named = set(
        re.findall(r"\b(?!AWS_|DAC_|OTEL_TRACES_|PIP_|RECIPE_|SCHED_|UV_)[A-Z]+(?:_[A-Z]+)+\b", page.read_text())
    )
    assert named <= settings


@pytest.mark.parametrize("page", CURRENT, ids=relative)
def test_a_make_command_that_a_page_shows_exists_with_its_options(page: Path) -> None:
    makefile = (PROJECT / "Makefile").read_text()
    code = re.findall(r"^```console\n.*?^```|`[^`\n]+`", page.read_text(), re.DOTALL | re.MULTILINE)
    for verb, options in re.findall(r"(?<!environment )\bmake ([a-z-]+)((?:\s+\\?\s*[A-Z]+=\S+)*)", "\n".join(code)):
        assert f"\n{verb}:" in makefile, verb
        for option in re.findall(r"(?:^|\s)([A-Z]+)=", options):
            assert f"$({option})" in makefile or f",{option})" in makefile, (verb, option)


@pytest.mark.parametrize("kind", ["flask", "fastapi"])
def test_before_and_after_are_those_of_the_example(kind: str) -> None:
    page = (DOCS / "how-to" / f"come-from-{kind}.md").read_text()
    for name in ("before.py", "after.py"):
        code = (PROJECT / "examples" / f"{kind}-app" / name).read_text().partition('"""\n\n')[2]
        assert f"```python\n{code}```" in page, name
