"""A random forest with a custom preprocessing step: will a loan application be granted?"""

from __future__ import annotations

import random
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import make_pipeline

from contract.model.manifest import InputFormat
from contract.model.signature import Field, Kind
from trainer.recipe import Table, recipe

COLUMNS: dict[str, tuple[tuple[str, ...], int]] = {
    "Gender": (("Female", "Male"), 13),
    "Married": (("No", "Yes"), 3),
    "Dependents": (("0", "1", "2", "3+"), 15),
    "Education": (("Graduate", "Not Graduate"), 0),
    "Self_Employed": (("No", "Yes"), 32),
    "ApplicantIncome": ((), 0),
    "CoapplicantIncome": ((), 0),
    "LoanAmount": ((), 22),
    "Loan_Amount_Term": ((), 14),
    "Credit_History": ((), 50),
    "Property_Area": (("Rural", "Urban", "Semiurban"), 0),
}
"""The words of each input, none if it is a number, and in how many of the rows it is null."""
INPUTS = tuple(COLUMNS)
WORDS = {name: words for name, (words, _) in COLUMNS.items() if words}
NULLS = {name: nulls for name, (_, nulls) in COLUMNS.items() if nulls}
AMOUNTS = ("ApplicantIncome", "CoapplicantIncome", "LoanAmount", "Loan_Amount_Term")


class LoanFeatures(TransformerMixin, BaseEstimator):
    """DataFrame with `INPUTS` → float64 array of the same shape, without nulls.

    Nulls become a value learnt by `fit`: the mean of an amount, the most frequent value of other columns.
    Words become their position in `WORDS`.
    """

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: ARG002
        self.fill_ = {name: X[name].mean() if name in AMOUNTS else X[name].mode()[0] for name in X}
        return self

    def transform(self, X: Any) -> Any:
        codes = {name: {word: code for code, word in enumerate(words)} for name, words in WORDS.items()}
        filled = X.fillna(self.fill_)
        columns = [filled[name].map(codes[name]) if name in codes else filled[name] for name in filled]
        return np.column_stack(columns).astype(np.float64)


def data() -> Table:
    """Generate 614 applications with the columns of the real file and the same number of nulls in each."""
    draw = random.Random(0)  # noqa: S311
    rows = [_application(draw, number) for number in range(1, 615)]
    for name, count in NULLS.items():
        for row in draw.sample(rows, count):
            row[name] = None
    columns = ("Loan_ID", *INPUTS, "Loan_Status")
    return Table("generated sample", columns, [[row[name] for name in columns] for row in rows])


def _application(draw: random.Random, number: int) -> dict[str, object]:
    """Generate an application. Most who have paid back before get the loan, fewer if it is large for the income."""
    income, other = int(draw.lognormvariate(8.3, 0.5)), int(draw.choice((0, 1)) * draw.lognormvariate(7.7, 0.5))
    amount, paid_back = int(draw.lognormvariate(4.8, 0.4)), int(draw.random() < 0.84)
    burden = amount * 1000 / (income + other)
    granted = draw.random() < ((0.85 if burden < 40 else 0.6) if paid_back else 0.08)
    return {
        "Loan_ID": f"GEN{number:05}",
        "Gender": draw.choices(WORDS["Gender"], (19, 81))[0],
        "Married": draw.choices(WORDS["Married"], (35, 65))[0],
        "Dependents": draw.choices(WORDS["Dependents"], (58, 17, 17, 8))[0],
        "Education": draw.choices(WORDS["Education"], (78, 22))[0],
        "Self_Employed": draw.choices(WORDS["Self_Employed"], (86, 14))[0],
        "ApplicantIncome": income,
        "CoapplicantIncome": other,
        "LoanAmount": amount,
        "Loan_Amount_Term": draw.choices((360, 180, 480, 300), (86, 8, 3, 3))[0],
        "Credit_History": paid_back,
        "Property_Area": draw.choices(WORDS["Property_Area"], (29, 33, 38))[0],
        "Loan_Status": "Y" if granted else "N",
    }


def _input(name: str) -> Field:
    kind = Kind.STRING if name in WORDS else Kind.NUMBER
    return Field(name, kind, nullable=name in NULLS, categories=WORDS.get(name))


@recipe(
    inputs=map(_input, INPUTS),
    target=Field("Loan_Status", Kind.STRING, categories=("N", "Y")),
    data=data,
    id_field="Loan_ID",
    test_size=0.25,
    input_format=InputFormat.DATAFRAME,
)
def fit(X: Any, y: Any, *, n_estimators: int = 30, max_depth: int | None = 6) -> Any:
    forest = RandomForestClassifier(n_estimators=n_estimators, max_depth=max_depth, random_state=0, n_jobs=1)
    return make_pipeline(LoanFeatures(), forest).fit(X, y)
