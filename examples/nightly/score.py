"""Scores the rows of a CSV file in the background, once: `score.py MODEL ROWS OUTPUT`.

It is silent unless something is wrong, so cron sends a mail only then. A night whose output exists already is not
scored again, and an output is there whole or not at all.
"""

import sys
from pathlib import Path

from modelgate import Client, ModelgateError

WAIT = 4 * 3600
"""Seconds that a night has for its rows."""


def main(model: str, rows: str, output: str) -> int:
    if Path(output).exists():
        return 0
    try:
        job = Client().model(model).submit(rows, progress=False).wait(timeout=WAIT)
        job.download(output)
    except (ModelgateError, OSError) as error:
        print(f"{rows}: {error}", file=sys.stderr)
        return 1
    if job.errors:
        job.download_errors(f"{output}.errors.csv")
        print(f"{rows}: {job.errors} of {job.rows} rows cannot be used; see {output}.errors.csv", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
