"""What a model may change of its process: finds it, and puts it back (docs/adr/0094)."""

from __future__ import annotations

import builtins
import decimal
import gc
import locale
import logging
import os
import random
import resource
import signal
import socket
import sys
import time
import warnings
from collections.abc import Callable, MutableMapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import scipy.special
import sklearn

T = TypeVar("T")

_ENVIRON: dict[bytes, bytes] = os.environb._data  # type: ignore[attr-defined]  # decoding them all takes 14 µs
_MODULES = [vars(module) for module in (builtins, random, sys, time, warnings)]
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGALRM, signal.SIGCHLD, signal.SIGIO, signal.SIGPIPE)
_LIMITS = (resource.RLIMIT_AS, resource.RLIMIT_CPU, resource.RLIMIT_DATA, resource.RLIMIT_NOFILE, resource.RLIMIT_STACK)
_SEEDED = "the random state (random.seed, np.random.seed)"


def _fill(target: MutableMapping[Any, Any], values: MutableMapping[Any, Any]) -> None:
    for name in target.keys() - values.keys():
        del target[name]
    for name, value in values.items():
        if name not in target or target[name] != value:
            target[name] = value


def _set_environ(values: MutableMapping[bytes, bytes]) -> None:
    _fill(os.environb, values)
    time.tzset()


def _pandas_options() -> dict[str, dict[str, Any]]:
    return {group: dict(values) for group, values in pd.options.d.items()}


def _set_pandas_options(options: dict[str, dict[str, Any]]) -> None:
    for group, values in options.items():
        for name, value in values.items():
            if pd.options.d[group][name] != value:
                pd.set_option(f"{group}.{name}", value)


def _set_warnings(filters: list[Any]) -> None:
    warnings.resetwarnings()  # so that Python looks at the filters again
    warnings.filters[:] = filters  # type: ignore[index]


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _decimal_context() -> tuple[Any, ...]:
    """Return the arguments of `decimal.Context`."""
    now = decimal.getcontext()
    traps = [trap for trap, is_set in now.traps.items() if is_set]
    return now.prec, now.rounding, now.Emin, now.Emax, now.capitals, now.clamp, [], traps


def _set_signals(handlers: Sequence[Any]) -> None:
    for number, handler in zip(_SIGNALS, handlers, strict=True):
        if signal.getsignal(number) != handler:
            signal.signal(number, handler)


def _set_limits(limits: Sequence[tuple[int, int]]) -> None:
    for kind, limit in zip(_LIMITS, limits, strict=True):
        resource.setrlimit(kind, limit)


def _logging() -> tuple[int, int, list[logging.Handler]]:
    return logging.root.manager.disable, logging.root.level, list(logging.root.handlers)


def _set_logging(state: tuple[int, int, list[logging.Handler]]) -> None:
    logging.root.handlers[:] = state[2]
    logging.root.setLevel(state[1])
    logging.disable(state[0])


_PARTS: Sequence[tuple[str, Callable[[], Any], Callable[[Any], object]]] = (
    ("the recursion limit (sys.setrecursionlimit)", sys.getrecursionlimit, sys.setrecursionlimit),
    ("environment variables (os.environ)", lambda: _ENVIRON.copy(), _set_environ),
    ("the time zone (TZ)", lambda: (time.tzname, time.timezone, time.altzone), lambda _: time.tzset()),
    ("functions of Python", lambda: [*map(dict, _MODULES)], lambda saved: [*map(_fill, _MODULES, saved)]),
    ("the filters of warnings", lambda: list(warnings.filters), _set_warnings),
    ("NumPy's error handling (np.seterr)", np.geterr, lambda saved: np.seterr(**saved)),
    ("NumPy's print options", np.get_printoptions, lambda saved: np.set_printoptions(**saved)),
    ("SciPy's error handling", scipy.special.geterr, lambda saved: scipy.special.seterr(**saved)),
    ("scikit-learn's configuration (set_config)", sklearn.get_config, lambda saved: sklearn.set_config(**saved)),
    ("pandas' options", _pandas_options, _set_pandas_options),
    ("the context of decimal", _decimal_context, lambda saved: decimal.setcontext(decimal.Context(*saved))),
    ("the locale", lambda: locale.setlocale(locale.LC_ALL), lambda saved: locale.setlocale(locale.LC_ALL, saved)),
    ("the working folder (os.chdir)", os.getcwd, os.chdir),
    ("the umask", _umask, os.umask),
    ("sys.path", lambda: list(sys.path), lambda saved: setattr(sys, "path", list(saved))),
    ("signal handlers", lambda: [*map(signal.getsignal, _SIGNALS)], _set_signals),
    ("blocked signals", lambda: signal.pthread_sigmask(0, ()), lambda saved: signal.pthread_sigmask(2, saved)),
    ("an alarm", lambda: signal.getitimer(signal.ITIMER_REAL)[0] > 0, lambda saved: saved or signal.alarm(0)),
    ("logging", _logging, _set_logging),
    ("the garbage collector", gc.get_threshold, lambda saved: gc.set_threshold(*saved)),
    ("the default time-out of sockets", socket.getdefaulttimeout, socket.setdefaulttimeout),
    ("limits of its resources", lambda: [*map(resource.getrlimit, _LIMITS)], _set_limits),
)
"""What is watched: its name for people, how it is read, and how it is put back."""


class ProcessState:
    """The state of this process when this is made."""

    def __init__(self) -> None:
        self._saved = [_value(read) for _, read, _ in _PARTS]
        self._modules = len(sys.modules)
        self._drawn: set[float] = set()
        self.imported = False
        """Whether modules were imported before `put_back`, which may have changed something: libraries do so."""

    def put_back(self) -> tuple[str, ...]:
        """Put back what has changed, and return its names.

        Random numbers begin anew: a model may draw some. If this finds the same ones twice, the model has seeded them.
        """
        changed = []
        for (name, read, write), saved in zip(_PARTS, self._saved, strict=True):
            if _value(read) != saved:
                changed.append(name)
                with suppress(Exception):
                    write(saved)
        drawn = {random.random(), np.random.random()}  # noqa: S311
        if drawn & self._drawn:
            changed.append(_SEEDED)
        self._drawn = drawn
        random.seed(os.urandom(16))
        np.random.seed(np.frombuffer(os.urandom(16), np.uint32))  # without an argument it takes 50 µs
        self.imported, self._modules = len(sys.modules) > self._modules, len(sys.modules)
        return tuple(changed)


def _value(read: Callable[[], Any]) -> Any:
    with suppress(OSError):  # the working folder is gone
        return read()
    return None


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
