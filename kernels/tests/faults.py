"""Plants faults in the source of each kernel, one at a time, and shows that its tests find them: `python -m
kernels.tests.faults [linear scaling …]`.

A fault turns a comparison or a condition, changes an operator or a number, drops an operation or an argument, or lets
two operations change places. Prints a table by module, and the faults that nothing finds and that are not known to
change no answer. Exits with 1 if there are any.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import copy
import dataclasses
import importlib
import importlib.abc
import importlib.machinery
import io
import multiprocessing
import os
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

_KERNELS, _TESTS = "modelgate_kernels", "kernels.tests"
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
_USERS = ("scoring", "trainer", "tests.scoring")
"""Packages that hold on to kernels without a fault."""
_SECONDS = 120
"""Most seconds for the tests of one fault; it is found if they take longer."""
_TESTED_BY: Mapping[str, Sequence[str]] = {
    "clusters": ("test_other_kinds",),
    "column_transformers": ("test_columns", "tests.scoring.test_kernel_tables"),
    "columns": ("test_columns", "tests.scoring.test_kernel_tables"),
    "decoding": ("test_targets",),
    "discriminants": ("test_other_kinds",),
    "functions": ("test_functions", "test_columns", "tests.scoring.test_kernel_tables"),
    "joined_trees": ("test_trees", "test_forests", "test_boosting"),
    "joining": ("test_joining", "test_columns", "tests.scoring.test_kernel_tables"),
    "leaf_masks": ("test_leaf_masks", "test_boosting"),
    "pipelines": ("test_members", "test_linear"),
    "products": ("test_linear",),
    "rows": ("tests.scoring.test_kernel_tables",),
}
"""The tests of modules that have no test module of the same name."""
_NOT_KERNELS = frozenset(
    {
        "__init__",
        "comparison",
        "edge_rows",
        "kernel",
        "known_types",
        "model_kernel",
        "same",
        "splits",
        "table",
        "thresholds",
    }
)
_EQUIVALENT: Mapping[str, str] = {
    "leaf_masks `262144` -> `262145`": "a row more may be looked up at once",
    "leaf_masks `1.0` -> `2.0`": "a range more, to which no category belongs",
    "leaf_masks `3` -> `4`": "another row is looked up at once",
    "leaf_masks `_AT_ONCE // (self._answers.itemsize * len(self._first_leaf))` -> "
    "`_AT_ONCE / (self._answers.itemsize * len(self._first_leaf))`": "another row may be looked up at once",
    "leaf_masks `self._rows = max(_FEWEST_AT_ONCE, _AT_ONCE // (self._answers.itemsize * len(self._first_leaf)))` -> "
    "`self._rows = _FEWEST_AT_ONCE`": "fewer rows are looked up at once",
    "leaf_masks `self._answers.itemsize * len(self._first_leaf)` -> "
    "`self._answers.itemsize / len(self._first_leaf)`": "more rows are looked up at once",
    "leaf_masks `masks.take(ranges, axis=0, out=taken, mode='clip')` -> `masks.take(ranges, axis=0, out=found)`": (
        "it takes longer"
    ),
    "leaf_masks `sizes > step` -> `sizes >= step`": "the last of a column's edges is infinite, so nothing is above it",
    "leaf_masks `values = np.ascontiguousarray(rows.T[self._columns])` -> `values = rows.T[self._columns]`": (
        "the same values, in another order of memory"
    ),
    "scaling `type(matrix) is not np.ndarray or matrix.ndim != 2` -> `type(matrix) is not np.ndarray "
    "and matrix.ndim != 2`": ("every array has two dimensions"),
    "scaling `False` -> `True`": "every MaxAbsScaler of this release has the parameter",
}
"""Faults that change no answer, and why."""

_WITHOUT_EFFECT = frozenset({"strict", "copy", "out"})
"""Arguments that guard against mistakes or save memory. They change no answer."""

_TURNED: Mapping[type, type] = {
    operator: other
    for pair in (
        *((ast.Lt, ast.LtE), (ast.Gt, ast.GtE), (ast.Eq, ast.NotEq), (ast.Is, ast.IsNot), (ast.In, ast.NotIn)),
        *((ast.And, ast.Or), (ast.Add, ast.Sub), (ast.Mult, ast.Div), (ast.BitAnd, ast.BitOr)),
    )
    for operator, other in (pair, pair[::-1])
} | {ast.Pow: ast.Mult, ast.FloorDiv: ast.Div, ast.Mod: ast.Mult, ast.MatMult: ast.Mult}


@dataclasses.dataclass(frozen=True)
class Fault:
    """A fault at a `line` of a module: the `place`-th change of its source."""

    module: str
    place: int
    line: int
    what: str

    def __str__(self) -> str:
        return f"{self.module}.py:{self.line} {self.what}"

    @property
    def is_equivalent(self) -> bool:
        return f"{self.module} {self.what}" in _EQUIVALENT


def faults_of(module: str) -> Iterator[tuple[Fault, ast.Module]]:
    """Yield all faults of a module, each with its source."""
    source = ast.parse(_file(module).read_text())
    keywords = [node for node in ast.walk(source) if isinstance(node, ast.keyword)]
    skipped = {id(keyword.value) for keyword in keywords if keyword.arg in _WITHOUT_EFFECT}
    changes = [
        (position, number)
        for position, node in enumerate(ast.walk(source))
        for number in range(len(list(_changes(node))))
        if _is_code(node) and id(node) not in skipped
    ]
    for index, (position, number) in enumerate(changes):
        changed = copy.deepcopy(source)
        node = next(node for other, node in enumerate(ast.walk(changed)) if other == position)
        before = _line(node)
        apply = list(_changes(node))[number]
        apply()
        yield (
            Fault(module, index, getattr(node, "lineno", 0), f"`{before}` -> `{_line(node)}`"),
            ast.fix_missing_locations(changed),
        )


def _is_code(node: ast.AST) -> bool:
    return not isinstance(node, ast.Module | ast.ClassDef | ast.Import | ast.ImportFrom)


def _line(node: ast.AST) -> str:
    """Return the changed node as source, of a function only the body."""
    nodes = node.body if isinstance(node, ast.FunctionDef) else [node]
    return "; ".join(map(ast.unparse, nodes)).replace("\n", " ")[:100]


def _changes(node: Any) -> Iterator[Callable[[], object]]:
    """Yield functions that plant each fault in this node."""
    if isinstance(node, ast.Compare):
        for index, operator in enumerate(node.ops):
            yield lambda index=index, operator=operator: node.ops.__setitem__(index, _TURNED[type(operator)]())
    elif isinstance(node, ast.BinOp | ast.AugAssign | ast.BoolOp):
        if type(node.op) in _TURNED and not _is_annotation(node):
            yield lambda: setattr(node, "op", _TURNED[type(node.op)]())
    elif isinstance(node, ast.Call):
        for index, keyword in enumerate(node.keywords):
            if keyword.arg not in _WITHOUT_EFFECT:
                yield lambda index=index: node.keywords.pop(index)
    elif isinstance(node, ast.If | ast.IfExp):
        yield lambda: setattr(node, "test", ast.UnaryOp(ast.Not(), node.test))
    elif isinstance(node, ast.Constant) and type(node.value) in (int, float, bool):
        yield lambda: setattr(
            node,
            "value",
            not node.value if node.value in (True, False) and type(node.value) is bool else node.value + 1,
        )
    elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and node.value.args:
        yield lambda: setattr(node, "value", node.value.args[0])
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.Invert):
        yield lambda: setattr(node, "op", ast.UAdd())
    body = getattr(node, "body", None)
    if isinstance(body, list):
        yield from _changes_of_body(body)


def _changes_of_body(body: list[ast.stmt]) -> Iterator[Callable[[], object]]:
    """Yield functions that drop a statement, or let it change places with the next one."""
    for index, statement in enumerate(body):
        is_text = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
        if isinstance(statement, ast.AugAssign) or (isinstance(statement, ast.Expr) and not is_text):
            yield lambda index=index: body.__setitem__(index, ast.Pass())
        following = body[index + 1] if index + 1 < len(body) else None
        if following and _depends(following, statement):
            yield lambda index=index: body.__setitem__(slice(index, index + 2), body[index : index + 2][::-1])


def _depends(following: ast.stmt, statement: ast.stmt) -> bool:
    """Return whether an assignment reads what the one before it has written."""
    if not (isinstance(statement, ast.Assign | ast.AugAssign) and isinstance(following, ast.Assign | ast.AugAssign)):
        return False
    names = [node for node in ast.walk(statement) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
    read = {node.id for node in ast.walk(following) if isinstance(node, ast.Name)}
    return any(name.id in read for name in names)


def _is_annotation(node: ast.AST) -> bool:
    """Return whether it is a type such as `Any | None`."""
    return isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr) and "None" in ast.unparse(node)


# Finding them


def how_found(fault: Fault) -> tuple[Fault, str | None]:
    """Return what finds the fault: a case, or tests; None if nothing does. It is planted in this process."""
    source = next(source for other, source in faults_of(fault.module) if other.place == fault.place)
    for name in [name for name in sys.modules if name.startswith((_KERNELS, f"{_TESTS}.compare"))]:
        del sys.modules[name]
    sys.meta_path.insert(0, _Planted(f"{_KERNELS}.{fault.module}", source))
    signal.signal(signal.SIGALRM, _too_long)
    signal.alarm(_SECONDS)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            return fault, _by_case(fault.module) or _by_tests(fault.module)
    except Exception as error:
        return fault, f"the import ({type(error).__name__})"
    finally:
        signal.alarm(0)


def _by_case(module: str) -> str | None:
    compare = importlib.import_module(f"{_TESTS}.compare")
    for case, fitted in _FITTED[module]:
        try:
            compare.assert_same(dataclasses.replace(case, fit=lambda fitted=fitted: fitted), 400)
        except Exception:
            return f"the case {case}"
    return None


def _by_tests(module: str) -> str | None:
    import pytest

    for name in [name for name in sys.modules if name.startswith((f"{_TESTS}.test_", *_USERS))]:
        del sys.modules[name]
    files = [str(Path(*test.split(".")).with_suffix(".py")) for test in _tests_of(module)]
    others = "not answers_the_same"  # `_by_case` has compared the cases
    code = pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-k", others, *files])
    return None if code in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED) else "a test"


class _Planted(importlib.abc.MetaPathFinder):
    """Imports one module from a changed source."""

    def __init__(self, name: str, source: ast.Module) -> None:
        self._name = name
        self._source = source

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> Any:
        if fullname != self._name:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec and spec.loader and spec.origin:
            code = compile(self._source, spec.origin, "exec")
            spec.loader.get_code = lambda _: code  # type: ignore[attr-defined]
        return spec


def _too_long(*_: object) -> None:
    raise TimeoutError


def _file(module: str) -> Path:
    return Path("kernels", "src", _KERNELS, f"{module}.py")


def _tests_of(module: str) -> Sequence[str]:
    tests = _TESTED_BY.get(module, (f"test_{module}",))
    return [test if "." in test else f"{_TESTS}.{test}" for test in tests]


_FITTED: dict[str, list[tuple[Any, tuple[Any, Any]]]] = {}
"""The cases of each module, fitted once for all faults."""


def _fit(module: str) -> None:
    for test in _tests_of(module):
        cases = getattr(importlib.import_module(test), "CASES", ())
        _FITTED.setdefault(module, []).extend((case, case.fit()) for case in cases)


# The report


def main(modules: Sequence[str], processes: int) -> int:
    """Plant all faults of these modules, or of all with kernels."""
    start = time.monotonic()
    named = modules or sorted(file.stem for file in _file("x").parent.glob("*.py") if file.stem not in _NOT_KERNELS)
    for module in named:
        _fit(module)
    faults = [fault for module in named for fault, _ in faults_of(module)]
    results: dict[str, list[tuple[Fault, str | None]]] = defaultdict(list)
    with multiprocessing.get_context("fork").Pool(processes, maxtasksperchild=1) as pool:
        for fault, how in pool.imap_unordered(how_found, faults, chunksize=1):
            results[fault.module].append((fault, how))
            if how is None and not fault.is_equivalent:
                sys.stderr.write(f"not found: {fault}\n")
                sys.stderr.flush()
    sys.stdout.write("| kernels of | faults | found by a case | by other tests | change no answer | not found |\n")
    sys.stdout.write("|---|---|---|---|---|---|\n")
    lost = 0
    for module, outcomes in sorted(results.items()):
        by_case = sum(bool(how and how.startswith("the ")) for _, how in outcomes)
        by_test = sum(how == "a test" for _, how in outcomes)
        equivalent = sum(how is None and fault.is_equivalent for fault, how in outcomes)
        missed = len(outcomes) - by_case - by_test - equivalent
        lost += missed
        sys.stdout.write(f"| {module} | {len(outcomes)} | {by_case} | {by_test} | {equivalent} | {missed} |\n")
    sys.stdout.write(f"\n{len(faults)} faults in {time.monotonic() - start:.0f} s, {lost} not found\n")
    return int(lost > 0)


if __name__ == "__main__":
    if any(os.environ.get(name) != value for name, value in _ONE_THREAD.items()):
        os.execve(
            sys.executable, [sys.executable, "-m", f"{_TESTS}.faults", *sys.argv[1:]], {**os.environ, **_ONE_THREAD}
        )
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("modules", nargs="*", help="modules of kernels without .py; default: all with kernels")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    from kernels.tests import faults  # under its name: forks unpickle its classes

    sys.exit(faults.main(arguments.modules, arguments.processes))
