"""What mypy knows of the client: `test_types.py` checks this file, and nothing runs it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, assert_type

import numpy as np
import pandas as pd
import polars as pl
from modelgate import AsyncClient, Client, Model
from modelgate.asynchronous import AsyncFileJob, AsyncJob, AsyncModel, AsyncReport, AsyncTrainingRun
from numpy.typing import NDArray


def rows(model: Model) -> None:
    model.predict([[5.1, 3.5], [4.9, 3.0]])
    model.predict([{"a": 5.1, "b": "x"}])
    model.predict(["win money now"])
    model.predict({"a": [5.1, 4.9], "b": ["x", "y"]})
    model.predict(np.ones((2, 2)))
    model.predict(pd.DataFrame({"a": [5.1]}))
    model.predict(pd.Series(["win money now"]))
    model.predict(pl.DataFrame({"a": [5.1]}))
    model.predict(pl.LazyFrame({"a": [5.1]}))
    model.predict(5.1)  # type: ignore[arg-type]
    model.predict({"a": 5.1})  # type: ignore[dict-item]


def answers(model: Model) -> None:
    assert_type(model.predict([[5.1]]), NDArray[Any])
    assert_type(model.predict_proba([[5.1]]), NDArray[np.float64])
    assert_type(model.kneighbors([[5.1]]), tuple[NDArray[np.float64], NDArray[np.int64]])
    assert_type(model.score([[5.1]], [1]), float)


async def verbs(mg: AsyncClient) -> None:
    model = await mg.model("loan")
    assert_type(model, AsyncModel)
    assert_type(await model.predict([[5.1]]), NDArray[Any])
    assert_type(await model.version, int)
    assert_type(await model.report, AsyncReport)
    assert_type(await mg.models(), list[dict[str, Any]])
    assert_type(await mg.export("loan@3", "folder"), Path)
    run = await mg.train("loan", target="paid")
    assert_type(await run.wait(timeout=60), AsyncTrainingRun)
    job = await model.submit("rows.csv", strict=True)
    assert_type(await job.wait(), AsyncFileJob)
    assert_type(await job.download("out.csv"), Path | None)
    assert_type(job.rows, int)
    assert_type(mg.jobs(model="loan"), AsyncIterator[AsyncJob])
    await mg.train("loan", tarjet="paid")  # type: ignore[call-arg]
    await model.promote("three")  # type: ignore[arg-type]


def blocking(mg: Client) -> None:
    assert_type(mg.model("loan"), Model)
