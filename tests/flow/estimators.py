"""Models that misbehave."""

from __future__ import annotations

import atexit
import decimal
import locale
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import threading
import time
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import sklearn

ABORTS, NEVER_RETURNS, EATS_MEMORY, RAISES, ENDS = 13.0, 14.0, 15.0, 16.0, 17.0
LEAVES_A_CHILD, ENDS_A_CHILD, GOES_ELSEWHERE = 18.0, 19.0, 20.0


class Faulty:
    """Doubles a number; misbehaves for the numbers above."""

    def predict(self, X: Any) -> Any:
        if LEAVES_A_CHILD in X or ENDS_A_CHILD in X:
            child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(200,))
            child.start()
            while ENDS_A_CHILD in X and child.is_alive():
                child.terminate()
                time.sleep(0.01)
        if GOES_ELSEWHERE in X:
            os.chdir(Path(multiprocessing.__file__).parent)
        if ABORTS in X:
            os.abort()
        while NEVER_RETURNS in X or LEAVES_A_CHILD in X:
            time.sleep(0.1)
        if EATS_MEMORY in X:
            # Allocated and not touched, or it might exceed the scorer's time first.
            self.eaten = [np.empty(50_000_000, np.uint8) for _ in range(1000)]
        if RAISES in X:
            raise ValueError("it hurts")
        if ENDS in X:
            raise SystemExit
        return X[:, 0] * 2


class Talks:
    """Doubles a number, and prints on every way there is."""

    def predict(self, X: Any) -> Any:
        print("from Python\nin two lines")
        print("to stderr", file=sys.stderr)
        os.write(1, b'{"level": "info"}\n')
        os.write(2, b"from C \x1b[2J\n")
        subprocess.run(["echo", "from a child"], check=True)
        warnings.warn("it is old", stacklevel=1)
        return X[:, 0] * 2


class Beside:
    """Doubles a number that stands alone: adds the mean of all rows to each."""

    def predict(self, X: Any) -> Any:
        return X[:, 0] + X[:, 0].mean()


class Slow:
    """Doubles a number. Slow on purpose: each row takes `seconds`."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def predict(self, X: Any) -> Any:
        time.sleep(self.seconds * len(X))
        return X[:, 0] * 2


class Versioned:
    """Doubles a number and adds the version, so an answer shows it. Slow on purpose: each row takes `seconds`."""

    def __init__(self, version: int, seconds: float) -> None:
        self.version = version
        self.seconds = seconds

    def predict(self, X: Any) -> Any:
        time.sleep(self.seconds * len(X))
        return X[:, 0] * 2 + self.version


POISON, HANGS = -1.0, -2.0


class Poisonable(Versioned):
    """Ends its process for POISON, and never returns for HANGS."""

    def predict(self, X: Any) -> Any:
        if POISON in X:
            os.abort()
        while HANGS in X:
            time.sleep(0.1)
        return super().predict(X)


class TellsRelease(Poisonable):
    """Adds a hundredth of the minor release of scikit-learn, so an answer shows which one gave it. Takes all memory for
    EATS_MEMORY."""

    def predict(self, X: Any) -> Any:
        import sklearn

        if EATS_MEMORY in X:
            Faulty().predict(X)
        return super().predict(X) + int(sklearn.__version__.split(".")[1]) / 100


class AbortsWhenLoaded(Slow):
    def __setstate__(self, state: Any) -> None:
        os.abort()


class HangsWhenFirstLoaded(Slow):
    """Creates the file `trace` when it is first loaded, and then hangs on purpose."""

    def __init__(self, trace: Path) -> None:
        super().__init__(0)
        self.trace = trace

    def __setstate__(self, state: Any) -> None:
        self.__dict__.update(state)
        if not self.trace.exists():
            self.trace.touch()
            time.sleep(1000)


class NeverLetsPythonEnd(Slow):
    def __setstate__(self, state: Any) -> None:
        self.__dict__.update(state)
        atexit.register(time.sleep, 1000)


class StartsAThreadWhenLoaded(Slow):
    def __setstate__(self, state: Any) -> None:
        self.__dict__.update(state)
        threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()


class Methodical:
    """Doubles a number, triples it, or turns its sign, by method. Each call takes `seconds`, so that jobs wait."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def predict(self, X: Any) -> Any:
        time.sleep(self.seconds)
        return X[:, 0] * 2

    def decision_function(self, X: Any) -> Any:
        time.sleep(self.seconds)
        return X[:, 0] * 3

    def transform(self, X: Any) -> Any:
        time.sleep(self.seconds)
        return np.column_stack([-X[:, 0], X[:, 0]])


def change_process(X: Any = None) -> Any:
    """Change as much of the process as a step may, and return what it got."""
    os.environ["TZ"] = "Asia/Tokyo"
    time.tzset()
    np.seterr(all="raise")
    warnings.simplefilter("error")
    sys.setrecursionlimit(20_000)
    sklearn.set_config(transform_output="pandas")
    locale.setlocale(locale.LC_ALL, "C.UTF-8")
    os.chdir("/")
    os.umask(0)
    sys.path.insert(0, "/nowhere")
    decimal.getcontext().prec = 3
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.alarm(3)
    random.seed(0)
    np.random.seed(0)
    return X


class ChangesItsProcess:
    """Doubles a number, and changes its process when it is asked, or `at_loading`."""

    def __init__(self, *, at_loading: bool) -> None:
        self.at_loading = at_loading

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        if self.at_loading:
            change_process()

    def predict(self, X: Any) -> Any:
        if not self.at_loading:
            change_process()
        return X[:, 0] * 2


class Witness:
    """Answers with a number that is another one if its process has been changed."""

    def predict(self, X: Any) -> Any:
        seen = (
            (time.localtime(0).tm_hour, os.environ.get("TZ"), np.geterr(), warnings.filters[0][:3:2]),
            (sys.getrecursionlimit(), sklearn.get_config(), locale.setlocale(locale.LC_ALL), Path.cwd(), sys.path),
            (decimal.getcontext().prec, signal.getsignal(signal.SIGTERM) == signal.SIG_IGN),
        )
        return np.full(len(X), float(zlib.crc32(repr(seen).encode())))
