"""What a model changes of its process is found by name, and put back."""

from __future__ import annotations

import builtins
import decimal
import importlib
import locale
import os
import random
import signal
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from scoring.held_objects import holds_own_code
from scoring.process_state import ProcessState, changed_by
from tests.support import Sum


def _to_tokyo() -> None:
    os.environ["TZ"] = "Asia/Tokyo"
    time.tzset()


def _patch(module: object, name: str) -> Callable[[], None]:
    return lambda: setattr(module, name, lambda *_, **__: None)


PYTHON = "functions or streams of Python"
CHANGES: dict[str, tuple[Callable[[], object], Callable[[], object], str]] = {
    "time zone": (_to_tokyo, lambda: (time.tzname, os.environ.get("TZ")), "the time zone (TZ)"),
    "environ": (lambda: os.environ.pop("PATH"), lambda: dict(os.environ), "environment variables (os.environ)"),
    "np.seterr": (lambda: np.seterr(all="raise"), np.geterr, "NumPy's error handling (np.seterr)"),
    "np print": (lambda: np.set_printoptions(precision=1), np.get_printoptions, "NumPy's print options"),
    "pandas": (
        lambda: pd.set_option("display.precision", 2),
        lambda: pd.get_option("display.precision"),
        "pandas' options",
    ),
    "sklearn": (
        lambda: sklearn.set_config(transform_output="pandas"),  # type: ignore[attr-defined]
        sklearn.get_config,  # type: ignore[attr-defined]
        "scikit-learn's configuration (set_config)",
    ),
    "filters": (lambda: warnings.simplefilter("error"), lambda: list(warnings.filters), "the filters of warnings"),
    "warn": (_patch(warnings, "warn"), lambda: warnings.warn, PYTHON),
    "print": (_patch(builtins, "print"), lambda: print, PYTHON),
    "a name more": (
        _patch(builtins, "_modelgate"),
        lambda: hasattr(builtins, "_modelgate"),
        PYTHON,
    ),
    "stdout": (lambda: setattr(sys, "stdout", None), lambda: sys.stdout, PYTHON),
    "recursion": (
        lambda: sys.setrecursionlimit(5000),
        sys.getrecursionlimit,
        "the recursion limit (sys.setrecursionlimit)",
    ),
    "path": (lambda: sys.path.append("/nowhere"), lambda: list(sys.path), "sys.path"),
    "another path": (lambda: setattr(sys, "path", ["/nowhere"]), lambda: list(sys.path), "sys.path"),
    "folder": (lambda: os.chdir("/"), Path.cwd, "the working folder (os.chdir)"),
    "umask": (lambda: os.umask(0o011), lambda: [os.umask(was := os.umask(0)), was][1], "the umask"),
    "locale": (
        lambda: locale.setlocale(locale.LC_ALL, "C"),
        lambda: locale.setlocale(locale.LC_ALL),
        "the locale",
    ),
    "decimal": (
        lambda: setattr(decimal.getcontext(), "prec", 3),
        lambda: decimal.getcontext().prec,
        "the precision of decimal",
    ),
    "handler": (
        lambda: signal.signal(signal.SIGTERM, signal.SIG_IGN),
        lambda: signal.getsignal(signal.SIGTERM),
        "signal handlers",
    ),
    "alarm": (lambda: signal.alarm(1000), lambda: signal.getitimer(signal.ITIMER_REAL), "an alarm"),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_what_is_changed_is_named_and_put_back(kind: str) -> None:
    change, look, name = CHANGES[kind]
    before = look()
    state = ProcessState()
    change()
    assert name in state.put_back()
    assert look() == before
    assert state.put_back() == ()


def test_a_process_that_nothing_has_changed_stays_as_it_is() -> None:
    state = ProcessState()
    Ridge().fit(np.eye(3), [1, 2, 3]).predict(np.eye(3))
    assert state.put_back() == ()


def test_a_seed_is_told_from_a_draw() -> None:
    drawing, seeding = ProcessState(), ProcessState()
    for _ in range(2):
        np.random.random(5)
        random.random()
        drawn = drawing.put_back()
        np.random.seed(0)
        seeded = seeding.put_back()
    assert drawn == ()
    assert seeded == ("the random state (random.seed, np.random.seed)",)


def test_what_importing_a_library_changes_is_not_blamed_on_the_model(tmp_path: Path) -> None:
    (tmp_path / "changes_when_imported.py").write_text("import sys\nsys.setrecursionlimit(sys.getrecursionlimit() + 1)")
    limit = sys.getrecursionlimit()
    sys.path.insert(0, str(tmp_path))
    try:
        assert changed_by(lambda: importlib.import_module("changes_when_imported"))[1] == ()
    finally:
        sys.path.remove(str(tmp_path))
    assert sys.getrecursionlimit() == limit


def test_what_a_failing_call_has_changed_is_put_back() -> None:
    def fail() -> None:
        os.environ["TZ"] = "Asia/Tokyo"
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        changed_by(fail)
    assert os.environ.get("TZ") != "Asia/Tokyo"


def test_code_of_installed_libraries_is_told_from_other_code() -> None:
    for function in (None, np.log1p, str.lower, "{}".format, pd.DataFrame.abs):
        assert not holds_own_code(make_pipeline(FunctionTransformer(function), Ridge()))
    for function in (lambda X: X, Sum().predict, np.vectorize(lambda x: x)):
        assert holds_own_code(make_pipeline(FunctionTransformer(function), Ridge()))
