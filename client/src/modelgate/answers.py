"""What a server answers for rows, as the estimator itself would have returned it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from modelgate.rows import numpy, pandas


@dataclass(frozen=True)
class Answers:
    """What one method of a version answers. `form`, `names` and `returned` are those of the method in the signature,
    `outputs` the names of the outputs that have one."""

    method: str
    form: str | None = None
    names: Sequence[str] | None = None
    returned: Mapping[str, Any] = field(default_factory=dict)
    outputs: Sequence[str] = ()

    @classmethod
    def of(cls, version: Mapping[str, Any] | None, method: str) -> Answers:
        """Return what the `method` of a version answers; its form is inferred if the version is unknown."""
        signature = version["signature"] if version else {"methods": (), "outputs": ()}
        known: Mapping[str, Any] = next((entry for entry in signature["methods"] if entry["name"] == method), {})
        renamed = any(output.get("label_names") for output in signature["outputs"])
        return cls(
            method,
            known.get("answer"),
            known.get("names"),
            {} if renamed and known.get("answer") == "outputs" else known.get("returned") or {},
            [output["name"] for output in signature["outputs"] if output.get("name") is not None],
        )

    def decoded(self, values: list[Any], index: Any = None) -> Any:
        """Return an answer for each row as an array; as a Series or a DataFrame with this `index`, or as a sparse
        matrix, if that is what the estimator returned. Without numpy it is the list as the server has sent it."""
        np = numpy()
        if np is None:
            return values
        by_name = bool(values) and isinstance(values[0], Mapping)
        form = self.form or ("labels" if by_name else "outputs")
        if form == "neighbors":
            parts = [[row[part] for row in values] for part in ("distances", "indices")]
            return tuple(_array(part, self._dtype(position)) for position, part in enumerate(parts))
        if form == "nonzero":
            return self._sparse(values)
        if form == "labels":
            answer = self._by_label(values)
        elif by_name:
            answer = self._by_name(values)
        else:
            answer = _array(values, self._dtype())
        if self.method == "predict_log_proba":
            answer = _with_log_of_zero(answer)
        return self._contained(answer, index)

    def _dtype(self, position: int = 0) -> str | None:
        dtypes = self.returned.get("dtypes") or (None,)
        dtype: str | None = dtypes[min(position, len(dtypes) - 1)]
        return dtype

    def _by_name(self, values: Sequence[Mapping[str, Any]]) -> Any:
        names = self.names or self.outputs or list(values[0])
        if self.returned.get("type") == "dataframe" and (pd := pandas()):
            columns = {name: [row[name] for row in values] for name in names}
            return pd.DataFrame(
                {name: _array(column, self._dtype(at)) for at, (name, column) in enumerate(columns.items())}
            )
        return _array([[row[name] for name in names] for row in values], self._dtype())

    def _by_label(self, values: list[Any]) -> Any:
        """Return rows × labels in the order of `classes_`, which is that of the answer; of several outputs a list."""
        if not self.outputs:
            return _array([list(row.values()) for row in values], self._dtype())
        tables = [
            _array([list(row[name].values()) for row in values], self._dtype(position))
            for position, name in enumerate(self.outputs)
        ]
        if self.returned.get("type") == "ndarray" and len(tables) > 1:  # of several labels, the probability of each
            return numpy().column_stack([table[:, -1] for table in tables])
        return tables if self.returned.get("type") == "list" or len(tables) > 1 else tables[0]

    def _sparse(self, values: Sequence[Mapping[str, Any]]) -> Any:
        np = numpy()
        places = {name: position for position, name in enumerate(self.names)} if self.names else None
        columns = [places[key] if places else int(key) for row in values for key in row]
        width = self.returned.get("width") or len(places or ()) or 1 + max(columns, default=-1)
        numbers = _array([number for row in values for number in row.values()], self._dtype() or "float64")
        ends = np.cumsum([0, *map(len, values)])
        try:
            from scipy import sparse  # type: ignore[import-untyped, unused-ignore]
        except ImportError:
            dense = np.zeros((len(values), width), numbers.dtype)
            dense[np.repeat(np.arange(len(values)), np.diff(ends)), columns] = numbers
            return dense
        kind = str(self.returned.get("type", "csr_matrix"))
        made: Any = sparse.csr_array if kind.endswith("array") else sparse.csr_matrix
        return made((numbers, columns, ends), shape=(len(values), width)).asformat(kind[:3])

    def _contained(self, answer: Any, index: Any) -> Any:
        kind = self.returned.get("type")
        if kind in ("series", "dataframe") and (pd := pandas()):
            if kind == "series":
                return pd.Series(answer, index=index)
            return answer.set_axis(index, axis=0) if index is not None else answer
        width = self.returned.get("width") if kind == "ndarray" else None  # of a column vector, and of no rows
        return answer.reshape(-1, width) if width and answer.ndim == 1 else answer


def _array(values: list[Any], dtype: str | None) -> Any:
    """Return values as an array, with NaN for null; of this dtype if it can hold them."""
    np = numpy()
    if dtype == "object":
        return _objects(values)
    array = np.array(values)
    if array.dtype.kind == "f" and dtype in ("int64", "uint64"):  # a float would round large ones
        return np.array(values, dtype=dtype)
    if array.dtype == object and array.ndim:
        words = any(isinstance(value, str) for value in array.flat)
        array = array if words else np.array(values, dtype=np.float64)
    try:
        wanted = np.dtype(dtype) if dtype else array.dtype
    except TypeError:  # one of pandas' own
        pd = pandas()
        return array if pd is None else pd.array(values, dtype=dtype)
    cut = wanted.kind in "US" and wanted.itemsize < array.dtype.itemsize
    return array if cut or (array.dtype.kind in "USO" and wanted.kind not in "USO") else array.astype(wanted)


def _objects(values: list[Any]) -> Any:
    np = numpy()
    if values and isinstance(values[0], list):
        return np.array(values, dtype=object)
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def _with_log_of_zero(logarithms: Any) -> Any:
    """JSON has null for the logarithm of 0."""
    np = numpy()
    if isinstance(logarithms, list):
        return [_with_log_of_zero(table) for table in logarithms]
    logarithms[np.isnan(logarithms)] = -np.inf
    return logarithms
