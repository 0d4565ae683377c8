"""What a minor release may not take away, a line each: `python -m tests.docs.promises` prints it for this tree."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

import modelgate
import typer.main
from modelgate.command.application import app
from modelgate.command.exits import ExitCode

from broker.metrics.table import METRICS
from contract.errors import Code
from contract.settings import Settings
from gateway.app import create_app
from gateway.openapi.document import document


def promises() -> Iterator[str]:
    """Yield the lines: HTTP, codes of problems, settings, metrics, command, client."""
    routes = create_app(Settings(redis_url="redis://localhost")).url_map.iter_rules()  # it does not connect
    openapi = document(routes, keys=True)
    for path, methods in openapi["paths"].items():
        for method, operation in methods.items():
            yield from (f"http {line}" for line in _operation(f"{method.upper()} {path}", operation))
    for name, schema in openapi["components"]["schemas"].items():
        yield from (f"http member {name}.{member}" for member in schema.get("properties", ()))
    yield from (f"code {code}" for code in Code)
    yield from (f"setting {entry.name.upper()}" for entry in fields(Settings))
    for metric in METRICS:
        yield f"metric {metric.name} {metric.type} {{{','.join(metric.labels)}}}"
    yield from (f"exit {code.name} {code.value}" for code in ExitCode)
    yield from _verbs(typer.main.get_command(app), "modelgate")
    yield from _client()


def _operation(call: str, operation: Mapping[str, Any]) -> Iterator[str]:
    yield call
    yield from (f"{call} {parameter['in']} {parameter['name']}" for parameter in operation.get("parameters", ()))
    yield from (f"{call} answers {status}" for status in operation["responses"] if status < "400")


def _verbs(command: Any, path: str) -> Iterator[str]:
    for parameter in command.params:
        names = parameter.opts if parameter.param_type_name == "option" else [parameter.name]
        yield from (f"command {path} {name}" for name in names)
    for name, inner in getattr(command, "commands", {}).items():
        yield f"command {path} {name}"
        yield from _verbs(inner, f"{path} {name}")
        if name == getattr(command, "default", None):  # its name may be left out
            yield from _verbs(inner, path)


def _client() -> Iterator[str]:
    for name in modelgate.__all__:
        thing = getattr(modelgate, name)
        yield f"client {name}"
        members = (
            {name: thing}
            if inspect.isfunction(thing)
            else {
                f"{name}.{member}": value for member, value in inspect.getmembers(thing) if not member.startswith("_")
            }
        )
        for member, value in members.items():
            yield f"client {member}"
            if inspect.isfunction(value):
                yield from (f"client {member}({parameter})" for parameter in inspect.signature(value).parameters)


if __name__ == "__main__":
    sys.stdout.writelines(f"{line}\n" for line in sorted(set(promises())))
