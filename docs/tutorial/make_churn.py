"""Makes the tutorial's data: customers of a mobile network, and whether they stay for another year.

    python docs/tutorial/make_churn.py

writes `churn.csv` (2,000 customers) and `november.csv` (600 more, a month later) beside this file. The bytes are the
same each time and everywhere. Only `random()` is used: Python may change its other random numbers between releases.
"""

from __future__ import annotations

import csv
import math
from datetime import date, timedelta
from pathlib import Path
from random import Random

FILES = {"churn.csv": 2000, "november.csv": 600}
"""The rows of each file. The second file continues the numbers of the first."""

COLUMNS = (
    "customer",
    "region",
    "months",
    "plan",
    "monthly_charge",
    "data_gb",
    "support_calls",
    "payment",
    "last_contact",
    "stays",
)
TODAY = date(2026, 10, 31)
PLANS = {"basic": 18.0, "plus": 29.0, "pro": 45.0}
"""The price of each plan before extras."""

REGIONS = ("north", "east", "south", "west")
PAYMENTS = ("card", "debit", "invoice")


def customer(number: int, random: Random) -> list[object]:
    """Return one row. Some cells are blank: at random, and the last contact of a customer who never called."""
    months = int(72 * random.random() ** 1.6)
    plan = _pick(random, tuple(PLANS), (0.5, 0.35, 0.15))
    charge = round(PLANS[plan] + 12 * random.random() ** 2, 2)
    data = round(-math.log(1 - random.random()) * (4 + 3 * tuple(PLANS).index(plan)), 1)
    calls = min(9, int(-math.log(1 - random.random()) * 1.3))
    payment = _pick(random, PAYMENTS, (0.45, 0.35, 0.2))
    contact = TODAY - timedelta(days=int(365 * random.random())) if calls else None
    score = 0.8 + 0.045 * months - 0.06 * (charge - PLANS[plan]) - 0.75 * calls
    score += {"basic": -0.5, "plus": 0.3, "pro": 0.0}[plan] + {"card": 0.2, "debit": 0.4, "invoice": -0.9}[payment]
    score -= 1.2 if data < 1 else 0  # customers who use next to nothing leave
    stays = "yes" if random.random() < 1 / (1 + math.exp(-1.7 * score)) else "no"
    return [
        f"C{number:05}",
        REGIONS[int(4 * random.random())],
        months,
        plan,
        f"{charge:.2f}",
        "" if random.random() < 0.04 else data,
        calls,
        "" if random.random() < 0.03 else payment,
        contact or "",
        stays,
    ]


def _pick(random: Random, values: tuple[str, ...], shares: tuple[float, ...]) -> str:
    """Return one of the values; each has its share of the cases."""
    found = random.random()
    for value, share in zip(values, shares, strict=True):
        if found < share:
            return value
        found -= share
    return values[-1]


def write(folder: Path) -> None:
    """Write both files into `folder`."""
    random = Random(2026)  # noqa: S311  # not for secrets
    number = 1
    for name, rows in FILES.items():
        with (folder / name).open("w", newline="", encoding="utf-8") as file:
            lines = csv.writer(file, lineterminator="\n")
            lines.writerow(COLUMNS)
            for _ in range(rows):
                lines.writerow(customer(number, random))
                number += 1


if __name__ == "__main__":
    write(Path(__file__).parent)
