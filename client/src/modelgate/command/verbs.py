"""Registers verbs and their options. A parameter whose type is a dataclass, such as `Session`, is its options."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar, get_type_hints

import typer

Verb = TypeVar("Verb", bound=Callable[..., None])


def option(text: str, *names: str, **settings: Any) -> Any:
    """Return an option with this help; by default its name is that of the parameter."""
    return typer.Option(*names, help=text, **settings)


def flag(text: str, *names: str, **settings: Any) -> Any:
    """Return an option without a value, which is off by default."""
    return option(text, *names, show_default=False, **settings)


def verb(app: typer.Typer, name: str | None = None, *, panel: str | None = None) -> Callable[[Verb], Verb]:
    """Register a function as a verb; its docstring is the help."""

    def register(function: Verb) -> Verb:
        groups = _groups(function)

        @functools.wraps(function)
        def run(**arguments: Any) -> None:
            for parameter, options in groups.items():
                names = inspect.signature(options).parameters
                arguments[parameter] = options(**{name: arguments.pop(name) for name in names})
            function(**arguments)

        parameters = [parameter for parameter in _keywords(function) if parameter.name not in groups]
        parameters += [option for options in reversed(groups.values()) for option in _keywords(options)]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        app.command(name, rich_help_panel=panel)(run)
        return function

    return register


def _groups(function: Callable[..., None]) -> dict[str, Any]:
    """Return the parameters that stand for options, with their dataclasses."""
    return {name: hint for name, hint in get_type_hints(function).items() if dataclasses.is_dataclass(hint)}


def _keywords(function: Callable[..., Any]) -> list[inspect.Parameter]:
    """Return the parameters of a function, or of a dataclass, with their types. All have to be named."""
    hints = get_type_hints(function, include_extras=True)
    return [
        parameter.replace(annotation=hints[name], kind=inspect.Parameter.KEYWORD_ONLY)
        for name, parameter in inspect.signature(function).parameters.items()
    ]
