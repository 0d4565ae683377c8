"""The kernels of another checkout, imported beside ours to compare the two in one process."""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path
from types import ModuleType

_PACKAGE = "modelgate_kernels"


def kernels_of_checkout(folder: str) -> ModuleType:
    """Return the package in another checkout. Raises `argparse.ArgumentTypeError` unless it has one."""
    source = Path(folder, "kernels", "src").resolve()
    if not (source / _PACKAGE).is_dir():
        raise argparse.ArgumentTypeError(f"{folder} is not a checkout with {_PACKAGE}")
    ours = _take()
    sys.path.insert(0, str(source))
    try:
        return importlib.import_module(_PACKAGE)
    finally:
        sys.path.remove(str(source))
        _take()
        sys.modules.update(ours)


def _take() -> dict[str, ModuleType]:
    names = [name for name in sys.modules if name.partition(".")[0] == _PACKAGE]
    return {name: sys.modules.pop(name) for name in names}
