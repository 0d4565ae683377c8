"""The tables of the models that the recipe `tabular` trains: loan applications, and two generated ones.

The generated tables have the columns, kinds and about the size of two public data sets, and targets that depend on a
few columns, so that trees grow as they do there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from contract.settings import Settings
from trainer import recipes
from trainer.recipe import Table
from trainer.tables.training_rows import in_data_dir, read_table

SEED = 7
TELCO_ROWS = 7_043
DIAMONDS_ROWS = 20_000

SERVICES = (
    *("OnlineSecurity", "OnlineBackup", "DeviceProtection"),
    *("TechSupport", "StreamingTV", "StreamingMovies"),
)
GRADES = {
    "cut": ("Fair", "Good", "Very Good", "Premium", "Ideal"),
    "color": ("J", "I", "H", "G", "F", "E", "D"),
    "clarity": ("I1", "SI2", "SI1", "VS2", "VS1", "VVS2", "VVS1", "IF"),
}
"""From the worst to the best."""


def loan_rows() -> Table:
    """Return DATA_DIR/loan.csv, or the generated applications of the recipe `loan`."""
    return read_table(recipes.get("loan"), in_data_dir("loan", Settings.from_environ().data_dir))


def telco_rows() -> Table:
    """Return 19 columns on customers of a telephone company, and whether each has left."""
    draw = np.random.default_rng(SEED)

    def word(*choices: str, shares: Any = None) -> Any:
        return draw.choice(choices, TELCO_ROWS, p=shares)

    internet = word("DSL", "Fiber optic", "No", shares=(0.34, 0.44, 0.22))
    phone = word("Yes", "No", shares=(0.9, 0.1))
    months = np.minimum(draw.geometric(0.03, TELCO_ROWS), 72)
    services = {
        name: np.where(internet == "No", "No internet service", word("Yes", "No", shares=(0.45, 0.55)))
        for name in SERVICES
    }
    used = np.sum([values == "Yes" for values in services.values()], axis=0)
    base = np.select([internet == "DSL", internet == "Fiber optic"], [45.0, 70.0], 20.0)
    monthly = (base + 5 * used + draw.normal(scale=2, size=TELCO_ROWS)).round(2)
    contract = word("Month-to-month", "One year", "Two year", shares=(0.55, 0.21, 0.24))
    charges = (monthly * months * draw.normal(1, 0.02, TELCO_ROWS)).round(2).astype(object)
    charges[draw.choice(TELCO_ROWS, 11, replace=False)] = None
    monthly_contract, fiber = contract == "Month-to-month", internet == "Fiber optic"
    logit = 1.5 * (monthly_contract & (months < 12)) + 1.5 * (fiber & (used < 3)) - 0.03 * months - 1.2
    return _table(
        {
            "gender": word("Female", "Male"),
            "SeniorCitizen": draw.choice((0, 1), TELCO_ROWS, p=(0.84, 0.16)),
            "Partner": word("Yes", "No"),
            "Dependents": word("Yes", "No", shares=(0.3, 0.7)),
            "tenure": months,
            "PhoneService": phone,
            "MultipleLines": np.where(phone == "No", "No phone service", word("Yes", "No")),
            "InternetService": internet,
            **services,
            "Contract": contract,
            "PaperlessBilling": word("Yes", "No", shares=(0.6, 0.4)),
            "PaymentMethod": word("Electronic check", "Mailed check", "Bank transfer", "Credit card"),
            "MonthlyCharges": monthly,
            "TotalCharges": charges,
            "Churn": np.where(draw.random(TELCO_ROWS) < 1 / (1 + np.exp(-logit)), "Yes", "No"),
        }
    )


def diamonds_rows() -> Table:
    """Return 9 columns on diamonds, and the price of each."""
    draw = np.random.default_rng(SEED)
    carat = draw.lognormal(-0.4, 0.55, DIAMONDS_ROWS).clip(0.2, 5).round(2)
    ranks = {name: draw.integers(len(grades), size=DIAMONDS_ROWS) for name, grades in GRADES.items()}
    quality = 0.05 * ranks["cut"] + 0.08 * ranks["color"] + 0.12 * ranks["clarity"]
    depth = draw.normal(61.7, 1.4, DIAMONDS_ROWS).round(1)
    width = 6.4 * np.cbrt(carat)
    noise = draw.normal(scale=0.1, size=DIAMONDS_ROWS)
    return _table(
        {
            "carat": carat,
            **{name: np.array(grades)[ranks[name]] for name, grades in GRADES.items()},
            "depth": depth,
            "table": draw.normal(57.5, 2.2, DIAMONDS_ROWS).round(),
            "x": (width * draw.normal(1, 0.01, DIAMONDS_ROWS)).round(2),
            "y": (width * draw.normal(1, 0.01, DIAMONDS_ROWS)).round(2),
            "z": (width * depth / 100).round(2),
            "price": np.exp(7.2 + 1.7 * np.log(carat) + quality + noise).round(),
        }
    )


def _table(columns: Mapping[str, Any]) -> Table:
    rows = zip(*(values.tolist() for values in columns.values()), strict=True)
    return Table("generated", tuple(columns), [list(row) for row in rows])


TABLES: Mapping[str, tuple[Callable[[], Table], str, str | None]] = {
    "loan": (loan_rows, "Loan_Status", "Loan_ID"),
    "telco": (telco_rows, "Churn", None),
    "diamonds": (diamonds_rows, "price", None),
}
"""By model: the rows, the target, and the column that identifies a row."""
