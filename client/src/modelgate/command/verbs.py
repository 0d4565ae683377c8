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
                names = [field.name for field in dataclasses.fields(options) if field.init]
                arguments[parameter] = options(**{option: arguments.pop(option) for option in names})
            function(**arguments)

        run.__signature__ = _with_options(function, groups)  # type: ignore[attr-defined]
        run.__annotations__ = {p.name: p.annotation for p in inspect.signature(run).parameters.values()}
        app.command(name, rich_help_panel=panel)(run)
        return function

    return register


def _groups(function: Callable[..., None]) -> dict[str, Any]:
    """Return the parameters that stand for options, with their dataclasses."""
    return {name: hint for name, hint in get_type_hints(function).items() if dataclasses.is_dataclass(hint)}


def _with_options(function: Callable[..., None], groups: dict[str, Any]) -> inspect.Signature:
    """Return the signature with options in the place of their groups; they come last in the help."""
    hints = get_type_hints(function, include_extras=True)
    parameters = [
        parameter.replace(annotation=hints[name], kind=inspect.Parameter.KEYWORD_ONLY)
        for name, parameter in inspect.signature(function).parameters.items()
        if name not in groups
    ]
    return inspect.Signature(
        [*parameters, *(option for group in reversed(groups.values()) for option in _options(group))]
    )


def _options(group: Any) -> list[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    return [
        inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=hints[field.name]
        )
        for field in dataclasses.fields(group)
        if field.init
    ]
