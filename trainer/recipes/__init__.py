"""One module a recipe, named as its model: code that trains one kind of model, as `RECIPE`."""

from __future__ import annotations

import pkgutil
from importlib import import_module

from trainer.recipe import Recipe


def names() -> tuple[str, ...]:
    """The recipes there are, sorted. Imports none of them: scikit-learn takes seconds."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))


def get(name: str) -> Recipe:
    """The recipe `name`, which must be one of `names()`."""
    recipe: Recipe = import_module(f"{__name__}.{name}").RECIPE
    return recipe
