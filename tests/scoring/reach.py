"""Finds what a skops file can make scikit-learn open, import or run: sets every attribute of every type on the list.

    python -m tests.scoring.reach [--refused] [NAME …]

fits each type, and sets each of its attributes in turn to a path, to the name of a module, to a command, and to each
option that scikit-learn documents. It sends the result through skops and calls its methods under an audit hook. Prints
the events; with `--refused` those of what passes `scoring.skops_files.loads`: there should be none.
"""

from __future__ import annotations

import argparse
import collections
import copy
import importlib
import inspect
import io
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression, Ridge

from scoring.skops_files import ALLOWED, loads

MARK = "reach_marker"
METHODS = ("predict", "predict_proba", "decision_function", "transform", "score_samples", "inverse_transform")
_WATCHED = (
    "open",
    "import",
    "exec",
    "compile",
    "os.",
    "socket.",
    "subprocess.",
    "shutil.",
    "ctypes.",
    "tempfile.",
    "glob.",
)

_seen: list[str] | None = None


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if _seen is not None and event.startswith(_WATCHED) and threading.get_ident() not in _others:
        _seen.append(f"{event} {' '.join(repr(argument)[:200] for argument in arguments[:2])}")


_installed = False
_others: frozenset[int | None] = frozenset()
"""The threads that run when the watch begins, such as those that other tests have left."""


@contextmanager
def watched() -> Iterator[list[str]]:
    """Yield a list that collects the events of Python's audit hook, one a line."""
    global _seen, _installed, _others
    if not _installed:
        sys.addaudithook(_watch)
        _installed = True
    _others = frozenset(thread.ident for thread in threading.enumerate()) - {threading.get_ident()}
    _seen = events = []
    try:
        yield events
    finally:
        _seen = None


def types() -> list[type]:
    """Return the classes that a skops artifact may hold as objects: skops' own list and ours."""
    from skops.io._trusted_types import SKLEARN_ESTIMATOR_TYPE_NAMES, SKLEARN_INTERNAL_TYPE_NAMES

    classes = []
    for name in (*SKLEARN_ESTIMATOR_TYPE_NAMES, *SKLEARN_INTERNAL_TYPE_NAMES, *ALLOWED):
        module, _, attribute = name.rpartition(".")
        thing = getattr(importlib.import_module(module), attribute, None)
        if isinstance(thing, type) and module.startswith("sklearn."):
            classes.append(thing)
    return classes


X, Y = make_classification(40, 6, random_state=0)
X = np.abs(X)


def _made(cls: type) -> Any:
    """Return an instance, made with the arguments that its constructor needs, or else without its constructor."""
    inner = Ridge() if "Regress" in cls.__name__ else LogisticRegression()
    known_arguments = {
        "estimator": inner,
        "base_estimator": inner,
        "estimators": [("a", inner), ("b", copy.copy(inner))],
        "steps": [("a", inner)],
        "transformers": [("a", "passthrough", [0, 1])],
        "transformer_list": [("a", "passthrough")],
        "param_grid": {},
        "param_distributions": {},
        "kernel": None,
        "components": X,
        "dictionary": X,
    }
    try:
        names = inspect.signature(cls).parameters.values()
        required = [p.name for p in names if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]
        thing = cls(**{name: known_arguments.get(name, 1) for name in required})
        with suppress(Exception):
            thing.set_params(n_estimators=2)
        return thing
    except Exception:
        with suppress(Exception):
            return cls.__new__(cls)
        return None


def fitted(cls: type, folder: Path) -> Any:
    """Return an instance, fitted on the first data that it accepts, if any."""
    mark = str(folder / MARK)
    for data in ((X, Y), (X,), ([mark, mark],), ([{"a": 1.0}, {"a": 2.0}],), (X[:, 0], Y), (Y,), (["a b", "b c"],)):
        thing = _made(cls)
        with suppress(Exception):
            thing.fit(*data)
            return thing
    return _made(cls)


def values(cls: type, name: str, folder: Path) -> list[str]:
    """Return the values for an attribute: a path, a module, a command, and what scikit-learn's constraints allow."""
    options: set[str] = set()
    for constraint in getattr(cls, "_parameter_constraints", {}).get(name, ()):
        options |= {option for option in getattr(constraint, "options", ()) if isinstance(option, str)}
    return [
        str(folder / MARK),
        f"{MARK}_module.attribute",
        f"{MARK}_module",
        f"|touch {folder / MARK}",
        *sorted(options),
    ]


def ask(thing: Any, folder: Path) -> None:
    """Call every method on numbers, and on text that is a path."""
    mark = str(folder / MARK)
    texts = [mark, mark]
    for method in METHODS:
        call = getattr(thing, method, None)
        if not callable(call):
            continue
        for rows in (X, texts, np.array(texts, dtype=object).reshape(-1, 1), np.array([mark.encode()], dtype=object)):
            with suppress(Exception):
                answer = call(rows)
                if hasattr(answer, "__next__"):
                    list(answer)


def attributes(thing: Any) -> list[str]:
    names = set(vars(thing)) if hasattr(thing, "__dict__") else set()
    with suppress(Exception):
        names |= set(inspect.signature(type(thing)).parameters)
    return sorted(names - {"self", "args", "kwargs"})


def reached(cls: type, folder: Path, load: Callable[[bytes], Any]) -> Iterator[tuple[str, str, list[str]]]:
    """Yield each attribute, value, and the events that the unchanged instance does not cause."""
    import skops.io

    usual = fitted(cls, folder)
    with suppress(Exception):
        ask(usual, folder)
    with watched() as always:
        ask(usual, folder)
    for name in attributes(usual):
        for value in values(cls, name, folder):
            thing = None
            with suppress(Exception):
                thing = copy.copy(usual)
                setattr(thing, name, value)
            if not hasattr(thing, "__dict__") or vars(thing).get(name) != value:
                continue
            try:
                data = skops.io.dumps(thing)
            except Exception:
                continue
            loaded = None
            with suppress(Exception):
                loaded = load(data)
            with watched() as heard:
                if loaded is not None:
                    ask(loaded, folder)
            yield name, value, [line for line in heard if line not in always]


def _main() -> None:
    import skops.io

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--refused", action="store_true")
    parser.add_argument("--times", action="store_true")
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    load = loads if arguments.refused else lambda data: skops.io.loads(data, trusted=ALLOWED)
    warnings.simplefilter("ignore")
    chosen = [cls for cls in types() if not arguments.names or cls.__name__ in arguments.names]
    began = time.monotonic()
    print_line = sys.stdout.write
    pairs, tried, reaches = 0, 0, collections.Counter[tuple[str, str, str, str]]()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / MARK).write_text("secret words")
        (folder / f"{MARK}_module.py").write_text("")
        sys.path.insert(0, name)
        for cls in chosen:
            seen = set()
            with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):  # of what is set to be verbose
                for attribute, value, heard in reached(cls, folder, load):
                    seen.add(attribute)
                    tried += 1
                    for line in heard:
                        reaches[cls.__name__, attribute, value.replace(name, "…"), line.replace(name, "…")[:150]] += 1
            pairs += len(seen)
            if arguments.times:
                print_line(f"{time.monotonic() - began:6.0f} s {cls.__name__}\n")
                sys.stdout.flush()
    print_line(f"{len(chosen)} types, {pairs} attributes, {tried} values\n")
    for key, count in sorted(reaches.items()):
        print_line(f"{count:4} {' | '.join(key)}\n")


if __name__ == "__main__":
    _main()
