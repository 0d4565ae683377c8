"""The table of what is kept for how long is that of `Retention`."""

from __future__ import annotations

import dataclasses
import re

from contract.retention import DAY, HOUR, MINUTE, Retention
from contract.settings import Settings
from tests.support import PROJECT


def test_the_table_has_each_age_in_the_order_of_the_code() -> None:
    page = (PROJECT / "docs/reference/limits.md").read_text()
    table = page[page.index("| what | is kept for | setting |") :].partition("\n\n")[0]
    ages = {**dataclasses.asdict(Settings().retention), **Retention.fixed()}
    assert re.findall(r"^\| [^|]+ \| (\d[^|]*) \|", table, re.MULTILINE) == [_age(*item) for item in ages.items()]


def test_settings_move_the_ages_that_follow_them() -> None:
    short = Settings(result_ttl=30, keep_days=2).retention
    assert (short.results, short.delivered_results, short.keyed_commands) == (30, 1, 60)
    assert (short.trainings, short.removed_model_days, short.audit_days) == (2 * DAY, 2, 6)


def _age(name: str, age: int) -> str:
    seconds = age * DAY if name.endswith("_days") else age
    if seconds % DAY == 0:
        return f"{seconds // DAY} days"
    return f"{seconds // HOUR} h" if seconds % HOUR == 0 else f"{seconds // MINUTE} min"
