"""Parses and checks the arguments of `make train` and `make import`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from contract.repository import valid_name
from contract.training import KINDS


class WrongArgument(ValueError):
    """An argument is invalid; the message says which, why, and what to do."""


def model_name(text: str) -> str:
    """Return the name of a model. Raises `WrongArgument` if it is invalid."""
    if valid_name(text):
        return text
    likely = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")[:64]
    hint = f"; try NAME={likely}" if valid_name(likely) else ""
    raise WrongArgument(f"{text!r:.80} cannot be the name of a model: use up to 64 of a-z, 0-9, _ and -{hint}")


def readable_file(path: Path | None, what: str) -> Path | None:
    """Return the file that the argument `what` names, if any. Raises `WrongArgument` if it is unreadable."""
    if path is None:
        return None
    try:
        with path.open("rb"):
            return path
    except FileNotFoundError:
        raise WrongArgument(f"{what}={path} does not exist; name a file, relative to {Path.cwd()}") from None
    except OSError as error:
        raise WrongArgument(f"{what}={path} cannot be read ({error.strerror}); name a readable file") from None


def features(text: str) -> Sequence[str]:
    """Return the columns of FEATURES: `a,b`, or a JSON list for names with commas. Raises `WrongArgument`."""
    found = _json(text, "FEATURES") if text.lstrip().startswith("[") else [part.strip() for part in text.split(",")]
    if not isinstance(found, list) or not all(isinstance(name, str) and name for name in found):
        raise WrongArgument(f"FEATURES={text!r:.80} must be names of columns, such as FEATURES=age,income")
    return found


def kinds(text: str) -> Mapping[str, str]:
    """Return the kinds of KINDS by column: `zip=string,day=datetime`, or a JSON object. Raises `WrongArgument`."""
    found = _pairs(text, "KINDS", "KINDS=zip=string,day=datetime")
    for name, kind in found.items():
        if kind not in KINDS:
            raise WrongArgument(f"KINDS gives {name!r:.80} the kind {kind!r:.80}; use one of {', '.join(KINDS)}")
    return found


def gate(text: str) -> Mapping[str, object]:
    """Return the gate of GATE: `metric=accuracy,floor=0.7,margin=0.01`, or a JSON object. Raises `WrongArgument`."""
    found = _pairs(text, "GATE", "GATE=floor=0.7,margin=0.01")
    for key in {"floor", "margin"} & found.keys():
        try:
            found[key] = float(found[key])
        except (TypeError, ValueError):
            raise WrongArgument(f"GATE has {key}={found[key]!r:.80}, which is not a number") from None
    return found


def _pairs(text: str, what: str, example: str) -> dict[str, Any]:
    if text.lstrip().startswith("{"):
        return dict(_json(text, what))
    pairs = [part.rpartition("=") for part in text.split(",")]
    if not all(name.strip() and value.strip() for name, _, value in pairs):
        raise WrongArgument(f"{what}={text!r:.80} is not a list of NAME=VALUE; write it as in {example}")
    return {name.strip(): value.strip() for name, _, value in pairs}


def _json(text: str, what: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise WrongArgument(f"{what}={text!r:.80} is not JSON ({error})") from None
