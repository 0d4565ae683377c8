"""Code beside a pickle: the classes and functions of the script that saved it, of which a pickle has only the names.

It runs in the throwaway process only, and only if the pickle looks for a name that is not there. The estimator is then
pickled anew with this code in it (`by_value`): all models share the `__main__` of one process.
"""

from __future__ import annotations

import re
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import CodeType, ModuleType
from typing import Any

import cloudpickle

from trainer.importing import Refused
from trainer.importing.files.packages import how_to_install, pip_name
from trainer.importing.files.reasons import explained, missing_name

_MODULE = "code_of_the_model"
"""The `__name__` of the code: not `__main__`, so that what a script does when it is started does not run."""
_FILE = "<code beside the model>"
_MOST_PLACES = 100
_ONLY = "leave only what defines the classes and functions of the model in it"


def load(read: Callable[[], Any], plain: bytes, code: bytes | None) -> tuple[Any, ModuleType | None]:
    """Return what `read` unpickles from the bytes `plain`, and the module that `code` became if it needed one.

    Raises `Refused` about the code, and what `read` raises.
    """
    module: ModuleType | None = None
    with ExitStack() as modules:
        for _ in range(_MOST_PLACES):
            try:
                return read(), module
            except (AttributeError, ModuleNotFoundError) as error:
                missing = missing_name(error)
                if code is None or missing is None or missing.module.encode() not in plain:
                    raise
                if module and missing.name and not hasattr(module, missing.name.partition(".")[0]):
                    raise Refused(
                        f"uses {missing.name!r} of {missing.module}, which the code beside it does not define; put the"
                        " code of the script or module that saved the model there"
                    ) from None
                module = module or _run(code)
                modules.enter_context(_put(module, missing.module))
        raise Refused(f"looks for its classes in more than {_MOST_PLACES} modules; save it with cloudpickle.dump")


@contextmanager
def by_value(module: ModuleType | None) -> Iterator[None]:
    """Make cloudpickle write the classes and functions of this module into its files."""
    if module is None:
        yield
        return
    with _placed(module.__name__, module):
        cloudpickle.register_pickle_by_value(module)
        try:
            yield
        finally:
            cloudpickle.unregister_pickle_by_value(module)


def _run(code: bytes) -> ModuleType:
    """Return the module that the code makes. Raises `Refused` with the line that fails."""
    compiled, module = _compiled(code), ModuleType(_MODULE)
    with _placed(_MODULE, module):  # dataclasses look for their module
        try:
            exec(compiled, vars(module))  # noqa: S102
        except MemoryError:
            raise
        except (Exception, SystemExit) as error:
            lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == _FILE]
            raise Refused(_failing(code, lines[0] if lines else None, error)) from None
    return module


def _compiled(code: bytes) -> CodeType:
    try:
        text = code.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Refused(
            f"has code beside it that is not UTF-8 (byte {error.start}); save it in UTF-8, as .py and not .ipynb"
        ) from None
    try:
        return compile(text, _FILE, "exec", dont_inherit=True)
    except SyntaxError as error:
        raise Refused(_failing(code, error.lineno, error)) from None
    except (ValueError, RecursionError, OverflowError) as error:
        raise Refused(f"has code beside it that Python cannot read ({explained(error)})") from None


def _failing(code: bytes, number: int | None, error: BaseException) -> str:
    lines = code.decode("utf-8-sig", "replace").splitlines()
    line = " ".join(lines[number - 1].split())[:200] if number and number <= len(lines) else ""
    where = f" in line {number}, `{line}`" if line else ""
    said = re.sub(rf" \({re.escape(_FILE)}, line \d+\)$", "", explained(error))
    if isinstance(error, SyntaxError):
        return f"has code beside it that is not Python{where} ({said}); correct it, and import both again"
    if isinstance(error, ModuleNotFoundError) and error.name:
        name = error.name.split(".")[0]
        return (
            f"has code beside it that fails{where} ({said}); if the model does not need it, {_ONLY}; otherwise"
            f" {how_to_install(pip_name(name) or name)}"
        )
    return f"has code beside it that fails{where} ({said}); {_ONLY}"


@contextmanager
def _put(module: ModuleType, name: str) -> Iterator[None]:
    """Put the code where the pickle looks for it: in place of a missing module, or into the one that is there."""
    there = sys.modules.get(name)
    if there is None:
        with _placed(name, module):
            yield
        return
    added = {key: value for key, value in vars(module).items() if not key.startswith("__") and not hasattr(there, key)}
    vars(there).update(added)
    try:
        yield
    finally:
        for key in added:
            vars(there).pop(key, None)


@contextmanager
def _placed(name: str, module: ModuleType) -> Iterator[None]:
    before = sys.modules.get(name)
    sys.modules[name] = module
    try:
        yield
    finally:
        if before is None:
            sys.modules.pop(name, None)
        else:
            sys.modules[name] = before
