"""One row in the fields of an HTML form or in the query of a URL. The answer is the job as JSON."""

from __future__ import annotations

from collections.abc import Iterable

from contract.rows.instances import Instances, Records
from runtime.exact_json import with_repeats_marked


def read(fields: Iterable[tuple[str, str]]) -> Instances:
    """Return the row; a blank field is null, as text has no null."""
    return Records([with_repeats_marked([(name, value if value.strip() else None) for name, value in fields])])
