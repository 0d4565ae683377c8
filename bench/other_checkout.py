"""Another checkout of Modelgate: its folder, and its way from rows to answers, imported beside our own to compare the
two in one process."""

from __future__ import annotations

import argparse
import importlib
import io
import pickle
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

PACKAGES = frozenset({"contract", "scoring", "modelgate_kernels"})


def folder_of_checkout(text: str) -> Path:
    """Return the folder that an option names. Raises `argparse.ArgumentTypeError` unless it is a checkout."""
    folder = Path(text).resolve()
    if not all((folder / part).is_dir() for part in ("contract", "kernels", "launcher", "scoring")):
        raise argparse.ArgumentTypeError(f"{folder} is not a checkout of Modelgate")
    return folder


class OtherCheckout:
    """The packages `contract`, `scoring` and `modelgate_kernels` of another checkout."""

    def __init__(self, folder: Path) -> None:
        with _without_our_modules() as found:
            paths = [str(folder), str(folder / "kernels" / "src")]
            sys.path[:0] = paths
            try:
                importlib.import_module("scoring.kernels")
            finally:
                for path in paths:
                    sys.path.remove(path)
        self.modules: Mapping[str, ModuleType] = found

    @property
    def estimators(self) -> Any:
        return self.modules["scoring.estimators"]

    @property
    def kernels(self) -> Any:
        return self.modules["scoring.kernels"]

    def copy(self, thing: Any) -> Any:
        """Return an object of our `contract` as one of the other checkout's classes."""
        return _Reader(io.BytesIO(pickle.dumps(thing)), self.modules).load()


class _Reader(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, modules: Mapping[str, ModuleType]) -> None:
        super().__init__(file)
        self._modules = modules

    def find_class(self, module: str, name: str) -> Any:
        return getattr(self._modules[module], name) if module in self._modules else super().find_class(module, name)


@contextmanager
def _without_our_modules() -> Iterator[dict[str, ModuleType]]:
    """Forget our own modules meanwhile. Afterwards the yielded dictionary has those that were imported instead."""
    ours, found = _take(), dict[str, ModuleType]()
    try:
        yield found
    finally:
        found.update(_take())
        sys.modules.update(ours)


def _take() -> dict[str, ModuleType]:
    names = [name for name in sys.modules if name.partition(".")[0] in PACKAGES]
    return {name: sys.modules.pop(name) for name in names}
