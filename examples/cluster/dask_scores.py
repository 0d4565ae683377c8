"""Scores a folder of Parquet where Dask has it: `dask_scores.py MODEL ROWS OUTPUT`."""

import sys

import dask
import dask.dataframe as dd
from modelgate import Client, Scorer


def score(rows, scorer: Scorer):
    """Return rows with their answers. It runs wherever Dask does."""
    return rows.assign(prediction=scorer.predict(rows), probability=scorer.predict_proba(rows)[:, 1])


def main(model: str, source: str, target: str) -> None:
    scorer = Client().model(model).scorer()
    rows = dd.read_parquet(source)
    rows.map_partitions(score, scorer, meta=score(rows._meta, scorer)).to_parquet(target)


if __name__ == "__main__":
    with dask.config.set(scheduler="processes"):  # a process scores for each; a cluster's client goes here instead
        main(*sys.argv[1:])
