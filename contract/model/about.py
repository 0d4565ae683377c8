"""What people say of a model: what it is for, who owns it, its tags, and how they have edited that."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from contract.wording import UNSHOWN

ABOUT, ABOUT_HISTORY = "about", "about_history"
"""The keys of these in the settings of a model."""

LONGEST_DESCRIPTION, LONGEST_OWNER, MOST_TAGS, MOST_EDITS = 4_000, 128, 20, 50
TAG = re.compile(r"[a-z0-9][a-z0-9_.-]{0,31}")

_LINES = str.maketrans("", "", "\n\t")
_MOST_KEPT = 40_000
"""Most characters in the history of a model: a store keeps it in one object with all that changes of the model."""


@dataclass(frozen=True)
class About:
    """What people say of a model. The first paragraph of its description says what it is for."""

    description: str = ""
    owner: str = ""
    tags: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "tags": list(self.tags)}

    @classmethod
    def from_json(cls, data: object) -> About:
        """Read what `to_json` has written. A member that is missing or wrong is empty."""
        known = data if isinstance(data, Mapping) else {}
        description, owner, tags = (known.get(name) for name in ("description", "owner", "tags"))
        return cls(
            str(description) if is_description(description) else "",
            str(owner) if is_owner(owner) else "",
            tuple(dict.fromkeys(filter(is_tag, tags)))[:MOST_TAGS] if isinstance(tags, list) else (),
        )


@dataclass(frozen=True)
class AboutEdit:
    """An edit: when (RFC 3339 in UTC), by the key of which name ('' without keys), and what the members that it changed
    were before."""

    at: str
    by: str
    before: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def is_description(value: object) -> bool:
    return isinstance(value, str) and len(value) <= LONGEST_DESCRIPTION and not UNSHOWN.search(value.translate(_LINES))


def is_owner(value: object) -> bool:
    return isinstance(value, str) and len(value) <= LONGEST_OWNER and not UNSHOWN.search(value)


def is_tag(value: object) -> bool:
    return isinstance(value, str) and TAG.fullmatch(value) is not None


def edited(settings: Mapping[str, Any], changes: Mapping[str, Any], by: str, at: str) -> dict[str, Any]:
    """Return the settings of a model after an edit of some members of its `About`, as JSON. The others stay. An edit
    that changes nothing is not in the history."""
    old = About.from_json(settings.get(ABOUT)).to_json()
    new = About.from_json({**old, **changes}).to_json()
    before = {name: old[name] for name in old if old[name] != new[name]}
    if not before:
        return dict(settings)
    history = [edit.to_json() for edit in (AboutEdit(at, by, before), *history_of(settings))][:MOST_EDITS]
    while len(str(history)) > _MOST_KEPT:
        history.pop()
    return {**settings, ABOUT: new, ABOUT_HISTORY: history}


def history_of(settings: Mapping[str, Any]) -> Sequence[AboutEdit]:
    """Return the edits in the settings of a model that can be read, the newest first."""
    kept = settings.get(ABOUT_HISTORY)
    edits = []
    for edit in kept if isinstance(kept, list) else ():
        if isinstance(edit, dict) and isinstance(before := edit.get("before"), dict):
            at, by, members = str(edit.get("at", "")), str(edit.get("by", "")), About.from_json(before).to_json()
            edits.append(AboutEdit(at, by, {name: members[name] for name in members if name in before}))
    return edits
