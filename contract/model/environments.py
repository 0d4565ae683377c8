"""Environments: the libraries that a version is served with. '' is today's, which this installation brings."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

ENVIRONMENT = re.compile(r"sklearn-[0-9]{1,4}\.[0-9]{1,4}|(?!sklearn-)[a-z0-9][a-z0-9_-]{0,63}", re.ASCII)
"""The names of environments: of a release, or one that the operator has chosen as for a model."""

TODAY = ""
"""The environment of versions whose manifests name none."""

TODAY_WRITTEN = "today"
"""How people write it; no environment of their own has this name."""

SUPPORT_ENDED: Mapping[str, str] = {
    "sklearn-1.2": "2023-06-30",
    "sklearn-1.3": "2024-01-18",
    "sklearn-1.4": "2024-05-21",
    "sklearn-1.5": "2024-12-09",
    "sklearn-1.6": "2025-06-05",
    "sklearn-1.7": "2025-12-10",
    "sklearn-1.8": "2026-06-02",
}
"""The environments of older releases of scikit-learn, oldest first, each with the day on which the next release came
out: scikit-learn supports the newest one only."""

_RELEASE = re.compile(r"([0-9]{1,4})\.([0-9]{1,4})(?:[.a-z].*)?", re.ASCII)


def environment_of(release: str) -> str | None:
    """Return the name of the environment of a release of scikit-learn, such as `sklearn-1.2` for `1.2.2`, whether or
    not it exists; None if that is no release."""
    match = _RELEASE.fullmatch(release)
    return f"sklearn-{match[1]}.{match[2]}" if match else None


def no_worker(environment: str) -> str:
    """Return the sentence that no worker serves an environment, and what to do, without its full stop."""
    return f"no worker serves the environment {environment!r} in which it lives; {how_to_make(environment)}"


def how_to_make(environment: str) -> str:
    """Return what to do where an environment is missing."""
    if environment not in SUPPORT_ENDED:
        return f"make it with `modelgate environment make {environment} --requirements FILE`"
    return (
        f"make it with `modelgate environment make {environment}` (in containers: add {environment} to COMPOSE_PROFILES"
        " in .env, and run `docker compose up -d --build`)"
    )


def remedy(releases: Collection[str], here: str) -> str:
    """Return what to do about a model that these releases of scikit-learn have made, and that the one which is `here`
    does not serve."""
    names = {environment_of(release) for release in releases}
    name = names.pop() if len(names) == 1 else None
    if name is not None and name in SUPPORT_ENDED:
        return f"the environment {name!r} serves it: {how_to_make(name)}, and import it again"
    return f"fit it again with scikit-learn {here}"
