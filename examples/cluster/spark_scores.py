"""Scores a folder of Parquet where Spark has it: `spark_scores.py MODEL ROWS OUTPUT`."""

import sys

from modelgate import Client
from pyspark.sql import SparkSession
from pyspark.sql.types import DoubleType, StringType, StructField, StructType


def main(model: str, source: str, target: str) -> None:
    scorer = Client().model(model).scorer()

    def score(batches):
        for rows in batches:
            yield rows.assign(prediction=scorer.predict(rows), probability=scorer.predict_proba(rows)[:, 1])

    rows = SparkSession.builder.getOrCreate().read.parquet(source)
    added = [StructField("prediction", StringType()), StructField("probability", DoubleType())]
    rows.mapInPandas(score, StructType([*rows.schema.fields, *added])).write.parquet(target)


if __name__ == "__main__":
    main(*sys.argv[1:])
