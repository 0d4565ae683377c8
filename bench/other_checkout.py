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

PACKAGES = frozenset({"contract", "scoring"})


def folder_of_checkout(text: str) -> Path:
    """Return the folder that an option names. Raises `argparse.ArgumentTypeError` unless it is a checkout."""
    folder = Path(text).resolve()
    if not all((folder / part).is_dir() for part in ("launcher", *PACKAGES)):
        raise argparse.ArgumentTypeError(f"{folder} is not a checkout of Modelgate")
    return folder


class OtherCheckout:
    """The packages `contract` and `scoring` of another checkout."""

    def __init__(self, folder: Path) -> None:
        with _without_our_modules() as found:
            sys.path.insert(0, str(folder))
            try:
                importlib.import_module("scoring.estimators")
                self.model_kernels = _model_kernels()
            finally:
                sys.path.remove(str(folder))
        self.modules: Mapping[str, ModuleType] = found

    @property
    def estimators(self) -> Any:
        return self.modules["scoring.estimators"]

    def copy(self, thing: Any) -> Any:
        """Return an object of our `contract` as one of the other checkout's classes."""
        return _Reader(io.BytesIO(pickle.dumps(thing)), self.modules).load()


class _Reader(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, modules: Mapping[str, ModuleType]) -> None:
        super().__init__(file)
        self._modules = modules

    def find_class(self, module: str, name: str) -> Any:
        return getattr(self._modules[module], name) if module in self._modules else super().find_class(module, name)


def _model_kernels() -> Any | None:
    """Return the module of whole versions' kernels; None in a checkout that has no kernels."""
    try:
        return importlib.import_module("scoring.kernels.model_kernel")
    except ModuleNotFoundError:
        return None


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
