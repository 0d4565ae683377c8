"""`make zoo`: saves models as people save them, imports each through the inbox and asks it over HTTP.

Prints how many are identical, which are refused with what sentence, how many answers differ beside other requests, and
which are scored one request at a time. Exits with 1 if one answers differently than where it was fitted, or is refused
for another reason than the expected one.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from tests.qa.zoo import in_process, over_http
from tests.qa.zoo.environments import EXTRA, environment
from tests.qa.zoo.kinds import named
from tests.qa.zoo.neighbours import Situation
from tests.qa.zoo.saved import saved
from tests.qa.zoo.verdicts import Found, Verdict


def main(words: Sequence[str], here: bool) -> int:
    """Judge the specimens whose names have one of these words, or all."""
    start = time.monotonic()
    wanted = named(words)
    folder = saved(wanted)
    fitted = [specimen for specimen in wanted if (folder / f"{specimen.slug}.json").exists()]
    judged: dict[str, Verdict] = {}
    for verdict in (in_process if here else over_http).verdicts(fitted, folder):
        known, judged[verdict.specimen.name] = judged.get(verdict.specimen.name), verdict
        said = verdict.said.removeprefix(known.said if known else "")
        if not verdict.found.is_right and said:
            sys.stderr.write(f"{verdict.specimen.name}: {verdict.found}: {said}\n")
    verdicts = list(judged.values())
    sys.stdout.write("\n".join((*_report(verdicts), "", *report_of_neighbours(verdicts))) + "\n")
    sys.stdout.write(f"\n{len(verdicts)} models in {time.monotonic() - start:.0f} s\n")
    return int(len(fitted) < len(wanted) or not all(verdict.found.is_right for verdict in verdicts))


def _report(verdicts: Sequence[Verdict]) -> Iterator[str]:
    for outcome, title in ((Found.REFUSED, "refused"), (Found.ROUNDED, "equal but for the last digits")):
        alike: dict[str, list[str]] = defaultdict(list)
        for verdict in verdicts:
            if verdict.found is outcome:
                name = verdict.specimen.name
                alike[re.sub(rf"\b{re.escape(name.split()[0])}\b", "…", verdict.said)].append(name)
        yield f"| {title} | because it |"
        yield "|---|---|"
        yield from (f"| {', '.join(names)} | {said} |" for said, names in alike.items())
        yield ""
    yield from (f"{times} {outcome}" for outcome, times in Counter(verdict.found for verdict in verdicts).items())


def report_of_neighbours(verdicts: Sequence[Verdict]) -> Iterator[str]:
    yield "| asked | answers | of models | requests that differ | of models |"
    yield "|---|---|---|---|---|"
    for situation in Situation:
        tallies = [verdict.tallies[situation] for verdict in verdicts if situation in verdict.tallies]
        different = [len(tally.different) for tally in tallies if tally.different]
        answers = sum(tally.rows for tally in tallies)
        yield f"| {situation} | {answers:,} | {len(tallies):,} | {sum(different):,} | {len(different):,} |"
    yield ""
    yield "| scored one request at a time | because |"
    yield "|---|---|"
    yield from (f"| {verdict.specimen.name} | {verdict.alone} |" for verdict in verdicts if verdict.alone)
    yield ""
    yield "| changes its process | what |"
    yield "|---|---|"
    yield from (f"| {verdict.specimen.name} | {verdict.changes} |" for verdict in verdicts if verdict.changes)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("words", nargs="*", help="only those whose name has one of these words")
    parser.add_argument("--here", action="store_true", help="in one process, without inbox and HTTP")
    options = parser.parse_args()
    if not options.here and sys.prefix != str(EXTRA):
        os.execv(environment(), [environment(), "-m", "tests.qa.zoo", *options.words])
    sys.exit(main(options.words, options.here))
