"""The table of problems in docs/reference/http-api.md: `python -m tests.docs.problem_table` prints it."""

from __future__ import annotations

import sys

from gateway.problems.codes import ProblemCode


def table() -> str:
    """Return the rows: one for each code with `when`, and the codes that share it."""
    rows: list[tuple[list[str], str]] = []
    status = 0
    for code in ProblemCode:
        if code.when:
            rows.append(([f"`{code.status} {code}`"], code.when))
        else:
            rows[-1][0].append(f"`{code}`" if code.status == status else f"`{code.status} {code}`")
        status = code.status
    return "".join(f"| {', '.join(codes)} | {when} |\n" for codes, when in rows)


if __name__ == "__main__":
    sys.stdout.write(table())
