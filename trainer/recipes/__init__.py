"""The recipes, one module each, named after its file: built-in ones here, and the user's own in RECIPES_DIR."""

from __future__ import annotations

import importlib.util
import pickle
import pkgutil
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from contract.model.manifest import ArtifactFormat
from contract.model.parameters import RecipeParameter
from contract.model.repository import valid_name
from trainer.recipe import Recipe, RecipeError
from trainer.recipe_parameters import parameters_in

OWN = "own_recipes"
"""The package of modules from RECIPES_DIR."""


def names(folder: Path | None = None) -> tuple[str, ...]:
    """Return the names of all recipes, here and in `folder`, sorted. Imports none: scikit-learn takes seconds."""
    return tuple(sorted({*_built_in(), *(path.stem for path in _files(folder) if not _objection(path))}))


def parameters(folder: Path | None = None) -> dict[str, list[RecipeParameter]]:
    """Return the parameters of the recipes without running any. Leaves out recipes where that is impossible."""
    files = {name: Path(__path__[0]) / f"{name}.py" for name in _built_in()}
    files |= {path.stem: path for path in _files(folder) if not _objection(path)}
    parameters_by_name = {name: parameters_in(path) for name, path in files.items()}
    return {name: parameters for name, parameters in parameters_by_name.items() if parameters is not None}


def problems(folder: Path | None) -> list[str]:
    """Return a sentence on each problem with `folder` and with the names of files in it."""
    if folder is not None and not folder.is_dir():
        return [f"RECIPES_DIR={folder} is not a folder; name the one that holds your recipes, or none"]
    return [objection for path in _files(folder) if (objection := _objection(path))]


def get(name: str, folder: Path | None = None) -> Recipe:
    """Return the recipe `name`. Raises `RecipeError` if it does not exist or its file is broken. Ignores other
    files."""
    if name in _built_in():
        return _only_recipe(import_module(f"{__name__}.{name}"))
    for path in _files(folder):
        if path.stem == name and not _objection(path):
            return _only_recipe(_load(path))
    raise RecipeError(f"there is no recipe {name!r}; there are {', '.join(names(folder))}")


@contextmanager
def pickled_by_value(packages: Sequence[str] = (__name__, OWN)) -> Iterator[None]:
    """Make cloudpickle write the code of the packages' classes and functions, by default those of recipes: workers have
    none."""
    # Slow to import, and needed only for pickling.
    import cloudpickle

    known = cloudpickle.list_registry_pickle_by_value()
    added = [sys.modules[name] for name in packages if name in sys.modules and name not in known]
    for package in added:
        cloudpickle.register_pickle_by_value(package)
    try:
        yield
    finally:
        for package in added:
            cloudpickle.unregister_pickle_by_value(package)


def artifact_format(estimator: Any) -> ArtifactFormat:
    """Return JOBLIB if `estimator` needs only libraries, else CLOUDPICKLE, which another Python may not load."""
    finder = _Finder(_NullFile())
    try:
        finder.dump(estimator)
    except Exception:
        # For example a lambda. Publishing refuses an estimator that even cloudpickle cannot write.
        return ArtifactFormat.CLOUDPICKLE
    return ArtifactFormat.CLOUDPICKLE if finder.finds_own else ArtifactFormat.JOBLIB


class _NullFile:
    def write(self, data: Any) -> int:
        return len(data)


class _Finder(pickle.Pickler):
    """Finds classes and functions that a recipe defines."""

    finds_own = False

    def reducer_override(self, thing: Any) -> Any:
        if isinstance(thing, type | FunctionType) and thing.__module__.startswith((f"{__name__}.", f"{OWN}.")):
            self.finds_own = True
        return NotImplemented


def _built_in() -> set[str]:
    return {module.name for module in pkgutil.iter_modules(__path__)}


def _files(folder: Path | None) -> list[Path]:
    """Return the Python files in `folder`, except those whose names begin with a dot or an underscore."""
    return [] if folder is None else sorted(path for path in folder.glob("*.py") if path.name[0] not in "._")


def _objection(path: Path) -> str | None:
    """Return why a file's name rules it out as a recipe, or None."""
    if path.stem in _built_in():
        return f"RECIPES_DIR/{path.name} is not used: a recipe of that name is built in; rename the file"
    if not valid_name(path.stem):
        return f"RECIPES_DIR/{path.name} is not used: name it with small letters, digits, - and _"
    return None


def _load(path: Path) -> ModuleType:
    """Load the module in `path`, even if it was loaded before."""
    name = f"{OWN}.{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise RecipeError(f"RECIPES_DIR/{path.name} cannot be read as a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(OWN, ModuleType(OWN))
    sys.modules[name] = module  # dataclasses and pickle look there
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        frames = traceback.extract_tb(error.__traceback__)
        lines = [getattr(error, "lineno", None), *(f.lineno for f in reversed(frames) if f.filename == str(path))]
        where = next((f", line {line}" for line in lines if line), "")
        raise RecipeError(f"RECIPES_DIR/{path.name}{where} cannot be used: {type(error).__name__}: {error}") from error
    return module


def _only_recipe(module: ModuleType) -> Recipe:
    """Return the only recipe that `module` itself defines. Raises `RecipeError`."""
    recipes = [thing for thing in vars(module).values() if isinstance(thing, Recipe)]
    defined_here = [recipe for recipe in recipes if recipe.fit.__module__ == module.__name__]
    if len(defined_here) != 1:
        raise RecipeError(
            f"the file of the recipe {module.__name__.rpartition('.')[2]} must decorate one function with"
            f" @recipe(…); it has {len(defined_here)}"
        )
    return defined_here[0]
