"""Ensembles of mlxtend, which keep what they know of their columns in their members."""

from __future__ import annotations

from typing import Any

from contract.model.manifest import InputFormat
from trainer.importing.hints import Hint
from trainer.importing.other_libraries.described import Described


def mlxtend(ensemble: Any) -> Described | None:
    members = getattr(ensemble, "clfs_", None) or getattr(ensemble, "regr_", None)
    if not members:
        return None
    names = getattr(members[0], "feature_names_in_", None)
    takes = InputFormat.ARRAY if names is None else InputFormat.DATAFRAME
    hints = (Hint(),) * members[0].n_features_in_
    return Described(hints, None if names is None else tuple(map(str, names)), takes)
