"""The table of problems in docs/reference/http-api.md: `python -m tests.docs.problem_table` prints it."""

from __future__ import annotations

import ast
import inspect
import sys

from gateway.problems import ProblemCode


def table() -> str:
    """Return the rows: one for each code that says when it is the answer, and the codes that share it."""
    rows: list[tuple[list[str], str]] = []
    whens, status = _whens(), 0
    for code in ProblemCode:
        if code.name in whens:
            rows.append(([f"`{code.status} {code}`"], whens[code.name]))
        else:
            rows[-1][0].append(f"`{code}`" if code.status == status else f"`{code.status} {code}`")
        status = code.status
    return "".join(f"| {', '.join(codes)} | {when} |\n" for codes, when in rows)


def _whens() -> dict[str, str]:
    """Return what stands below the codes in their module, by name."""
    (definition,) = ast.parse(inspect.getsource(ProblemCode)).body
    assert isinstance(definition, ast.ClassDef)
    whens, name = {}, ""
    for statement in definition.body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)]):
                pass
            case ast.Expr(value=ast.Constant(value=str(when))):
                whens[name] = " ".join(when.split())
    return whens


if __name__ == "__main__":
    sys.stdout.write(table())
