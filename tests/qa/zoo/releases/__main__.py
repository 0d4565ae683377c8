"""`make zoo RELEASES=all`: imports files that other releases of scikit-learn have saved, and compares the answers.

Each release has an environment of its own under `.venv-zoo/`, where `fit.py` fits and saves every kind of estimator.
Today's release imports them and answers as far as it can; then an interpreter of each release since 1.2 does the same
with its own files. Prints the tables of docs/reference/imports.md. Exits with 1 if a kind would be served with other
numbers than under its own release.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from runtime.environments import Environments
from runtime.limits import ONE_THREAD
from tests.qa.zoo.releases.verdicts import DIFFERS, SAME

RELEASES: Mapping[str, Sequence[str]] = {
    "1.1.3": ("numpy<2", "pandas<2.1"),
    "1.2.2": ("numpy<1.24", "pandas<2"),
    "1.3.2": ("numpy<2", "pandas<2.3"),
    "1.4.2": ("numpy<2", "pandas<2.3"),
    "1.5.2": ("numpy<2", "pandas<2.3"),
    "1.6.1": ("pandas<2.3",),
    "1.7.2": ("pandas<2.3",),
    "1.8.0": ("pandas<2.3",),
}
"""The releases, each with the libraries that it needs. All have wheels for Python 3.11."""

OWN_CODE = ("cloudpickle", "cryptography", "orjson", "redis[hiredis]", "skops")
"""What our code needs besides what scikit-learn needs."""

TODAY_ONLY = frozenset({"1.1.3"})
"""Releases without an environment of their own."""

FIT = Path(__file__).resolve().with_name("fit.py")
PROJECT = FIT.parents[4]
ENVIRONMENTS = PROJECT / ".venv-zoo"

MISSING = "–"
REFUSED = {
    "its answers would be wrong": "numbers",
    "and here it is": "numbers",
    "does not predict": "predict",
    "method that Modelgate serves": "predict",
    "add a CSV": "sample",
}
"""The word in the table for a refusal that has this text; any other refusal means that the file does not load."""

Table = dict[str, dict[str, str]]
"""The verdict by kind and release."""


def main(releases: Sequence[str]) -> int:
    today, own = (defaultdict[str, dict[str, str]](dict) for _ in range(2))
    for release in releases:
        folder = _saved(release)
        _judge(today, release, Path(sys.executable), folder)
        if release not in TODAY_ONLY:
            _judge(own, release, _python(release), folder, "--exactly")
    with_own = [release for release in releases if release not in TODAY_ONLY]
    for title, table, columns in (("today's release", today, releases), ("its own release", own, with_own)):
        sys.stdout.write("\n".join((f"\nServed by {title}:\n", *_lines(table, columns))) + "\n")
    verdicts = [verdict for table in (today, own) for by_release in table.values() for verdict in by_release.values()]
    return int(any(verdict.startswith(DIFFERS) for verdict in verdicts))


def _python(release: str) -> Path:
    return ENVIRONMENTS / release / "bin" / "python"


def _saved(release: str) -> Path:
    """Return the folder of the files that a release has saved. Makes its environment if there is none yet."""
    python, environment = _python(release), ENVIRONMENTS / release
    folder, stamp, installed = environment / "saved", environment / "saved.stamp", environment / "installed"
    wanted = [f"scikit-learn=={release}", *RELEASES[release], *OWN_CODE]
    if not installed.exists() or installed.read_text() != str(wanted):
        uv = [sys.executable, "-m", "uv"]
        subprocess.run([*uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(environment)], check=True)
        install = ["pip", "install", "--quiet", "--compile-bytecode", "--python", str(python)]
        subprocess.run([*uv, *install, *wanted], check=True)
        installed.write_text(str(wanted))
    newest = max(file.stat().st_mtime for file in (FIT, FIT.with_name("own_steps.py"), installed))
    if not stamp.exists() or stamp.stat().st_mtime < newest:
        subprocess.run([str(python), str(FIT), str(folder)], check=True, env={**os.environ, **ONE_THREAD})
        stamp.touch()
    return folder


def _judge(table: Table, release: str, python: Path, folder: Path, *options: str) -> None:
    """Add what our code under this interpreter finds about the files in the folder."""
    env = {**os.environ, **ONE_THREAD, **Environments(ENVIRONMENTS).variables()}
    command = [str(python), "-m", "tests.qa.zoo.releases.verdicts", str(folder), *options]
    ended = subprocess.run(command, check=True, env=env, cwd=PROJECT, stdout=subprocess.PIPE, text=True)
    for kind, verdict in map(json.loads, ended.stdout.splitlines()):
        table[kind][release] = verdict
        if verdict != SAME:
            where = "own release" if options else "today's"
            sys.stderr.write(f"{release}, {where}: {kind}: {verdict}\n")


def _lines(table: Mapping[str, Mapping[str, str]], releases: Sequence[str]) -> Iterator[str]:
    """Yield the table in Markdown. Kinds with the same results share a line."""
    alike: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for kind, verdicts in table.items():
        alike[tuple(_word(verdicts.get(release, MISSING)) for release in releases)].append(kind)
    yield f"| | {' | '.join(releases)} |"
    yield f"|---|{'---|' * len(releases)}"
    for words, kinds in sorted(alike.items(), key=lambda item: (-item[0].count(SAME), item[1])):
        yield f"| {', '.join(sorted(kinds))} | {' | '.join(words)} |"


def _word(verdict: str) -> str:
    if verdict.startswith((SAME, DIFFERS, MISSING)):
        return verdict
    return next((word for said, word in REFUSED.items() if said in verdict), "load")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("releases", nargs="*", default=list(RELEASES), help="all, unless some are named")
    sys.exit(main(parser.parse_args().releases))
