"""The candidates that a training has tried, for its progress and its report. Without the libraries that fit them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from contract.model.version_metrics import lower_is_better
from contract.wording import clean
from trainer.recipe import Candidate
from trainer.report.parts import Facts, NotShown, number

_MOST = 20
_NEGATED = "neg_"
"""scikit-learn's scorers of errors are negative, so that more is better; their names begin with `neg_`."""


def candidates(tried: Sequence[Candidate], chosen: Candidate | None) -> Facts:
    """Return the candidates, the best cross-validated mean first; means that are not finite are null and last.

    Raises `NotShown` without any.
    """
    if not tried:
        raise NotShown("This recipe fits one estimator and chose it without cross-validation.")
    metric = tried[0].metric.removeprefix(_NEGATED)
    sign = -1 if metric != tried[0].metric else 1
    order = 1 if lower_is_better(metric) else -1
    ordered = sorted(tried, key=lambda c: order * sign * c.mean if math.isfinite(c.mean) else math.inf)
    items = [
        {
            "name": clean(c.name),
            "mean": number(sign * c.mean),
            "spread": number(c.spread),
            "seconds": number(c.seconds, 3),
            "chosen": chosen is not None and c.name == chosen.name,
        }
        for c in ordered[:_MOST]
    ]
    return {"metric": clean(metric), "items": items, "left_out": max(0, len(tried) - _MOST)}
