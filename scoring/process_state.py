"""Finds what a model changes of its process, and puts it back (docs/adr/0094)."""

from __future__ import annotations

import builtins
import locale
import os
import random
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager, suppress
from decimal import getcontext
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from sklearn import get_config, set_config  # type: ignore[attr-defined]

T = TypeVar("T")

_PANDAS: dict[str, dict[str, Any]] = pd.options.d  # type: ignore[assignment]
_MODULES = [vars(module) for module in (builtins, random, sys, time, warnings)]
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGALRM, signal.SIGCHLD, signal.SIGIO, signal.SIGPIPE)


def _fill(target: MutableMapping[Any, Any], saved: Mapping[Any, Any]) -> None:
    for name in target.keys() - saved.keys():
        del target[name]
    target.update(saved)


def _folder() -> str | None:
    with suppress(OSError):  # it was removed
        return os.getcwd()  # noqa: PTH109 - four times as fast
    return None


def _set_environ(saved: Mapping[str, str]) -> None:
    _fill(os.environ, saved)
    time.tzset()


def _set_pandas_options(saved: Mapping[str, Mapping[str, Any]]) -> None:
    for group, options in saved.items():
        for name in [name for name, value in options.items() if _PANDAS[group][name] != value]:
            pd.set_option(f"{group}.{name}", options[name])


def _set_filters(saved: Sequence[Any]) -> None:
    warnings.resetwarnings()  # so that Python looks at the filters again
    warnings.filters[:] = saved  # type: ignore[index]


# What is watched: its name for people, how it is read, and how it is put back.
_PARTS: Sequence[tuple[str, Callable[[], Any], Callable[[Any], object]]] = (
    ("the recursion limit (sys.setrecursionlimit)", sys.getrecursionlimit, sys.setrecursionlimit),
    ("the time zone (TZ)", lambda: (time.tzname, time.timezone, time.altzone), lambda _: time.tzset()),
    ("environment variables (os.environ)", os.environ.copy, _set_environ),
    ("sys.path", lambda: [*sys.path], lambda was: sys.path.__setitem__(slice(None), was)),
    ("functions or streams of Python", lambda: [*map(dict, _MODULES)], lambda was: [*map(_fill, _MODULES, was)]),
    ("the filters of warnings", lambda: [*warnings.filters], _set_filters),
    ("NumPy's error handling (np.seterr)", np.geterr, lambda was: np.seterr(**was)),
    ("NumPy's print options", np.get_printoptions, lambda was: np.set_printoptions(**was)),
    ("scikit-learn's configuration (set_config)", get_config, lambda was: set_config(**was)),
    ("pandas' options", lambda: {group: dict(options) for group, options in _PANDAS.items()}, _set_pandas_options),
    ("the precision of decimal", lambda: getcontext().prec, lambda was: setattr(getcontext(), "prec", was)),
    ("the locale", lambda: locale.setlocale(locale.LC_ALL), lambda was: locale.setlocale(locale.LC_ALL, was)),
    ("the working folder (os.chdir)", _folder, os.chdir),
    ("the umask", lambda: (was := os.umask(0o077), os.umask(was))[0], os.umask),
    ("signal handlers", lambda: [*map(signal.getsignal, _SIGNALS)], lambda was: [*map(signal.signal, _SIGNALS, was)]),
    ("an alarm", lambda: signal.getitimer(signal.ITIMER_REAL)[0] > 0, lambda was: was or signal.alarm(0)),
)
_SEEDED = "the random state (random.seed, np.random.seed)"

_LONGEST = 1.0
"""Seconds that a changed process goes on while jobs of its version wait. Others may wait, too."""


class ProcessState:
    """The state of this process when this is made."""

    def __init__(self) -> None:
        self._saved = [read() for _, read, _ in _PARTS]
        self._modules = len(sys.modules)
        self._drawn: set[float] = set()
        self.imported = False  # whether modules were before `put_back`: libraries change something when they are

    def put_back(self) -> tuple[str, ...]:
        """Put back what has changed, and return its names.

        Random numbers begin anew: a model may draw some. If this finds the same ones twice, the model has seeded them.
        """
        changed = []
        for (name, read, write), saved in zip(_PARTS, self._saved, strict=True):
            if read() != saved:
                changed.append(name)
                with suppress(Exception):
                    write(saved)
        drawn = {random.random(), np.random.random()}  # noqa: S311
        if drawn & self._drawn:
            changed.append(_SEEDED)
        self._drawn = drawn
        random.seed(os.urandom(16))
        np.random.seed(random.getrandbits(32))  # without an argument it takes 50 µs
        self.imported, self._modules = len(sys.modules) > self._modules, len(sys.modules)
        return tuple(changed)


def changed_by(call: Callable[[], T]) -> tuple[T, tuple[str, ...]]:
    """Return what `call` returns, and what it has changed of the process, which is put back. If it has imported
    libraries, which may be why, it is called again. Raises what it raises."""
    state = ProcessState()
    for _ in range(2):
        try:
            answer = call()
        finally:
            changed = state.put_back()
        if not (changed and state.imported):
            break
    return answer, changed


class Apart:
    """Puts back what versions change of this process. `version`: the only one that it may score from then on, and
    `changes` what was seen of them."""

    def __init__(self) -> None:
        self.version: tuple[str, int] | None = None
        self.changes: set[str] = set()
        self._until = 0.0

    @property
    def over(self) -> bool:
        """Return whether the process has gone on for long enough after it was changed."""
        return self.version is not None and time.monotonic() > self._until

    @property
    def why_it_ends(self) -> str:
        """Return why this process is about to end by itself, for the log; empty if it is not."""
        changes = " and ".join(sorted(self.changes)) or "its process"
        return f"{self.version[0]}@{self.version[1]} changes {changes}" if self.version else ""

    @contextmanager
    def watching(self, name: str, version: int, *, changed: bool) -> Iterator[None]:
        """Put back what changes in a block that asks a version. `changed`: it is known to change its process."""
        state = ProcessState()
        try:
            yield
        finally:
            changes = state.put_back()
            self.changes.update(() if state.imported else changes)  # a library may have changed something
            if (changed or self.changes) and self.version is None:
                self.version, self._until = (name, version), time.monotonic() + _LONGEST
