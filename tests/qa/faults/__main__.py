"""`python -m tests.qa.faults` causes each fault under load and prints the table of docs/reference/reliability.md."""

from __future__ import annotations

import argparse
import itertools
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.qa.faults.row import Row, run
from tests.qa.faults.stage import start_stage
from tests.qa.faults.table import FAULTS, Fault
from tests.stacks.preloaded import build_clock

LONGEST = 110
"""Characters of a cell."""
FOLDERS, IDS = re.compile(r"/\S*faults-\w+/"), re.compile(r" (request|job)_ids?=.*")
LINE_HEAD = re.compile(r"^(\w+): \d{4}-\S+ (?=[A-Z]+ )")
HEAD = (
    "| fault | accepted | refused | lost | longest gap | well again after | `/health/ready` |"
    " `/v1/system` | metrics | alert | log |\n|---|---|---|---|---|---|---|---|---|---|---|"
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.qa.faults", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="only those of a short soak")
    parser.add_argument("--only", default="", metavar="PATTERN", help="only those whose name matches")
    arguments = parser.parse_args()
    if not shutil.which("promtool"):
        parser.error("promtool is missing: apt-get install prometheus")
    chosen = [
        fault for fault in FAULTS if re.search(arguments.only, fault.name) and (fault.quick or not arguments.quick)
    ]
    rows = list(run_all(chosen))
    say(HEAD)
    for row in rows:
        say(markdown(row))
    return int(any(row.untrue for row in rows))


def run_all(faults: Sequence[Fault]) -> Iterator[Row]:
    """Run the faults. Those with the same kind of clock share their processes, until a row does not hold."""
    for (clocked, timeout), group in itertools.groupby(faults, key=lambda fault: (fault.clock, fault.predict_timeout)):
        waiting = list(group)
        while waiting:
            yield from run_on_one_stage(waiting, clocked, timeout)


def run_on_one_stage(waiting: list[Fault], clocked: bool, timeout: int) -> Iterator[Row]:
    with tempfile.TemporaryDirectory(prefix="faults-") as name:
        folder = Path(name)
        clock = build_clock(folder) if clocked else None
        if clocked and clock is None:
            say(f"left out without a C compiler: {', '.join(fault.name for fault in waiting)}")
            waiting.clear()
            return
        with start_stage(folder, clock, timeout) as stage:
            while waiting:
                fault, began = waiting.pop(0), time.monotonic()
                row = run(fault, stage)
                say(f"{fault.name}: {time.monotonic() - began:.0f} s" + "".join(f"\n  {why}" for why in row.untrue))
                yield row
                if row.untrue:
                    return


def markdown(row: Row) -> str:
    cells = [
        row.fault.name,
        f"{row.accepted:,}",
        f"{row.refused + row.unanswered:,}",
        f"{row.lost + row.wrong + row.stuck}",
        f"{row.longest_gap:.1f} s",
        f"{row.recovered_after:.1f} s",
        *(cell(row, where) for where in ("ready", "system", "metric", "alert", "log")),
    ]
    return f"| {' | '.join(cells)} |"


def cell(row: Row, where: str) -> str:
    sign = row.signs.get(where)
    if sign is None:
        return row.fault.silent
    text = FOLDERS.sub("/…/", IDS.sub("", LINE_HEAD.sub("", sign.text))).replace("; try again", "")
    text = text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
    return f"{text if where == 'ready' else f'`{text}`'}, {sign.after:.0f} s"


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
