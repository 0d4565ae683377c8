"""The parameters of a fitting function: from the function itself, or from its file without running it."""

from __future__ import annotations

import ast
import inspect
import json
import types
import typing
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from contract.model.parameters import TYPES, RecipeParameter

_HINTS = {"bool": bool, "int": int, "float": float, "str": str, "None": None, "Literal": Literal}
_UNDERSTOOD = (ast.Name, ast.Constant, ast.BinOp, ast.BitOr, ast.Subscript, ast.Tuple, ast.Load)


def parameters_of(fit: Callable[..., Any]) -> list[RecipeParameter]:
    """Return the keyword-only arguments of `fit`. Raises TypeError for one without a default or not valid in JSON."""
    hints = typing.get_type_hints(fit)
    arguments = inspect.signature(fit).parameters.values()
    return [
        _parameter(argument.name, hints.get(argument.name, type(argument.default)), argument.default)
        for argument in arguments
        if argument.kind is argument.KEYWORD_ONLY
    ]


def parameters_in(path: Path) -> list[RecipeParameter] | None:
    """Return the parameters of the recipe in the file `path`, or None if only running the file would show them."""
    with suppress(OSError, ValueError, SyntaxError, TypeError, NameError, RecursionError, MemoryError):
        recipes = list(_recipes(ast.parse(path.read_bytes())))
        if len(recipes) == 1:
            arguments = recipes[0].args
            named = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
            return [_parsed(argument, default) for argument, default in named]
    return None


def _recipes(tree: ast.Module) -> Iterator[ast.FunctionDef]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            calls = [decorator.func for decorator in node.decorator_list if isinstance(decorator, ast.Call)]
            if any(getattr(call, "id", getattr(call, "attr", "")) == "recipe" for call in calls):
                yield node


def _parsed(argument: ast.arg, default: ast.expr | None) -> RecipeParameter:
    """Parse a parameter. Raises TypeError, ValueError or NameError unless default and annotation are literal."""
    if default is None:
        raise TypeError("a parameter without a default")
    value = ast.literal_eval(default)
    json.dumps(value, allow_nan=False)  # the gateway gets it as JSON
    if argument.annotation is None:
        return _parameter(argument.arg, type(value), value)
    if not all(isinstance(node, _UNDERSTOOD) for node in ast.walk(argument.annotation)):
        raise TypeError("an annotation that has to be run")
    code = compile(ast.Expression(argument.annotation), "annotation", "eval")
    return _parameter(argument.arg, eval(code, {"__builtins__": {}, **_HINTS}), value)  # noqa: S307


def _parameter(name: str, hint: Any, default: Any) -> RecipeParameter:
    if default is inspect.Parameter.empty:
        raise TypeError(f"the parameter {name} needs a default")
    choices = [type(None) if choice is None else choice for choice in _choices(hint)]
    names: dict[object, str] = {type(None): "None", **{kind: kind.__name__ for kind in (bool, int, float, str)}}
    if not all(choice in names if isinstance(choice, type) else isinstance(choice, str | int) for choice in choices):
        raise TypeError(f"the parameter {name} must be annotated with {', '.join(TYPES)}, a Literal or a union of them")
    plain = [choice for choice in choices if not isinstance(choice, type)]
    return RecipeParameter(name, [names[choice] for choice in choices if isinstance(choice, type)], plain, default)


def _choices(hint: Any) -> list[Any]:
    """Return the types and the Literal values that an annotation allows."""
    origin = typing.get_origin(hint)
    if origin in (types.UnionType, typing.Union):
        return [choice for part in typing.get_args(hint) for choice in _choices(part)]
    return list(typing.get_args(hint)) if origin is Literal else [hint]
