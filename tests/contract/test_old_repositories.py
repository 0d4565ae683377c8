"""Model repositories that older releases wrote are read and served. They are data: nothing writes them again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from math import inf
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from redis import Redis

from broker.scorer import ScorerQueue
from broker.supervisor import Leases
from contract.errors import ModelgateError
from contract.manifest import ArtifactFormat, InputDtype, InputFormat, ModelManifest
from contract.repository import MANIFEST_FILE, Repository
from contract.settings import MB, Settings
from contract.signature import Format, Kind
from gateway.app import create_app
from scoring import public_keys
from scoring.artifacts import check_versions, load
from scoring.predict import predict
from scoring.trust import Trust
from tests.support import secret_file
from tests.worker.lanes import bulk_lane
from trainer.training.row_hashes import load_hashes
from worker.batch_scorer import BatchScorer
from worker.model_cache import ModelCache, ModelLoader
from worker.pace import Pace
from worker.scorer import Scorer

OLD = Path(__file__).parent


def skip_under_other_libraries(manifest: ModelManifest) -> None:
    try:
        check_versions(manifest)
    except ModelgateError as error:
        pytest.skip(str(error))


@pytest.fixture
def first() -> Repository:
    """Two versions of a logistic regression on iris."""
    return Repository(OLD / "repository-of-0.1")


def test_the_first_releases_aliases_and_manifests_are_read(first: Repository) -> None:
    assert first.names() == ["iris"]
    assert first.aliases("iris") == {"current": 2, "previous": 1}
    assert first.versions("iris") == [1, 2]
    manifest = first.manifest("iris", 2)
    assert manifest.artifact.format is ArtifactFormat.JOBLIB
    assert manifest.artifact.input_dtype is InputDtype.FLOAT64
    assert [(field.name, field.kind) for field in manifest.signature.inputs[:2]] == [
        ("sepal_length", Kind.NUMBER),
        ("sepal_width", Kind.NUMBER),
    ]
    assert manifest.signature.output.labels == (0, 1, 2)
    assert manifest.training_data.rows == 150
    assert manifest.metrics


def test_a_manifest_is_written_with_all_parts_of_the_first_release_in_its_order(first: Repository) -> None:
    old = json.loads((first.version_dir("iris", 2) / "manifest.json").read_text())
    new = json.loads(first.manifest("iris", 2).dumps())
    assert [part for part in new if part in old] == list(old)
    assert new["golden"] == old["golden"]


def test_the_first_releases_model_still_predicts(first: Repository) -> None:
    manifest = first.manifest("iris", 2)
    skip_under_other_libraries(manifest)
    answer = predict(load(manifest, first.version_dir("iris", 2), Trust()), manifest, manifest.golden.rows)
    assert tuple(answer.values) == manifest.golden.predictions


SHOP = OLD / "repository-of-0.2"
"""Version 1 was trained by `tabular` from a CSV with commas in numbers; version 2 was imported. Both are signed."""

JSON = "application/json"
ROW = "Kunde;Alter;Umsatz;Land;seit\nk7;49;1.226,78;at;9.12.2018\n"


@pytest.fixture
def shop() -> Repository:
    return Repository(SHOP)


@pytest.fixture
def client(redis: Redis, redis_url: str, tmp_path: Path) -> Iterator[FlaskClient]:
    app = create_app(Settings(redis_url=redis_url, models_dir=SHOP, trainer_secret=secret_file(tmp_path)))
    yield app.test_client()
    app.extensions["close"]()


@pytest.fixture
def scorer(redis: Redis, shop: Repository) -> Scorer:
    Leases(redis).register("w-0-old")
    loader = ModelLoader(shop, Trust(public_keys.read(SHOP / "verify.pem"), pickles=True))
    pace, cache = Pace(inf), ModelCache(loader, lambda: MB)
    batches = BatchScorer(cache, pace, timeout=30, begin=lambda ids, seconds: None, end=lambda: None)
    lane = bulk_lane(redis, Path("no-spool"), "w-0-old", cache, pace)
    return Scorer(
        ScorerQueue(redis, "w-0-old"), batches, lane, pace, (), frozenset, dict, lambda batch: None, lambda: None
    )


def test_aliases_and_every_field_of_a_manifest_are_read(shop: Repository) -> None:
    assert shop.names() == ["shop"]
    assert shop.aliases("shop") == {"current": 2, "previous": 1, "canary": 1}
    assert shop.resolve("shop@canary") == ("shop", 1)
    trained, imported = (shop.manifest("shop", version) for version in (1, 2))
    assert [(f.name, f.kind, f.nullable, f.format) for f in trained.signature.inputs] == [
        ("Alter", Kind.NUMBER, True, None),
        ("Umsatz", Kind.NUMBER, False, Format.DECIMAL_COMMA),
        ("Land", Kind.STRING, False, None),
        ("seit", Kind.DATETIME, False, Format.DAY_FIRST),
    ]
    assert trained.signature.inputs[2].categories == ("at", "ch", "de")
    assert (trained.signature.id_field, trained.signature.output.labels) == ("Kunde", ("ja", "nein"))
    assert (trained.artifact.input_format, imported.artifact.input_format) == (InputFormat.DATAFRAME, InputFormat.ARRAY)
    assert imported.artifact.input_dtype is InputDtype.FLOAT32
    assert (trained.training_data.rows, trained.training_data.target) == (120, "bleibt")
    assert trained.parameters["estimator"] == "linear" and trained.metrics and trained.example and trained.golden.rows


@pytest.mark.parametrize("version", [1, 2])
def test_an_old_manifest_means_the_same_when_it_is_written_anew(shop: Repository, version: int) -> None:
    old = json.loads((shop.version_dir("shop", version) / MANIFEST_FILE).read_text())
    manifest = shop.manifest("shop", version)
    new = json.loads(manifest.dumps())
    assert ModelManifest.loads(json.dumps(new)) == manifest
    assert (old.pop("schema_version"), new.pop("schema_version")) == (1, 2)
    signature, old_signature = new.pop("signature"), old.pop("signature")
    assert new["artifact"].pop("kernels") is None and new.pop("profile") is None
    assert new == old
    assert signature["outputs"] == [{**old_signature["output"], "scores": False, "name": None, "label_names": None}]
    assert signature["inputs"] == [
        {**field, "guessed": False, "naive": False, "null": "nan"} for field in old_signature["inputs"]
    ]
    assert [method["name"] for method in signature["methods"]] == ["predict"] and signature["format"] == "table"


@pytest.mark.parametrize("version", [1, 2])
def test_a_signed_artifact_loads_and_gives_its_golden_answers(shop: Repository, version: int) -> None:
    manifest = shop.manifest("shop", version)
    skip_under_other_libraries(manifest)
    trust = Trust(public_keys.read(SHOP / "verify.pem"), pickles=True)
    answer = predict(load(manifest, shop.version_dir("shop", version), trust), manifest, manifest.golden.rows)
    assert tuple(answer.values) == manifest.golden.predictions
    assert manifest.golden.probabilities is not None and answer.probabilities is not None
    for found, expected in zip(answer.probabilities, manifest.golden.probabilities, strict=True):
        assert found == pytest.approx(expected)


@pytest.mark.parametrize(
    ("model", "body", "kind", "ids"),
    [
        ("shop@canary", ROW, "text/csv", ["k7"]),
        (
            "shop@previous",
            '{"Kunde": 7, "Alter": null, "Umsatz": 1226.78, "Land": "at", "seit": "2018-12-09"}',
            "",
            [7],
        ),
        ("shop", "[[49, 1226.78]]", JSON, None),
    ],
)
def test_an_old_version_is_served(
    client: FlaskClient, scorer: Scorer, shop: Repository, model: str, body: str, kind: str, ids: list[object] | None
) -> None:
    skip_under_other_libraries(shop.manifest(*shop.resolve(model)))
    queued = client.post(f"/v1/models/{model}/predict", data=body, content_type=kind)
    assert queued.status_code == 202
    assert scorer.step()
    job = client.get(queued.headers["Location"]).get_json()
    assert job["status"] == "succeeded", job
    assert job["output"]["predictions"][0] in ("ja", "nein")
    assert job["output"]["ids"] == ids


def test_the_example_of_an_old_version_works_when_it_is_sent(client: FlaskClient, scorer: Scorer) -> None:
    detail = client.get("/v1/models/shop/versions/1").get_json()
    assert client.post("/v1/models/shop@1/predict", json=detail["example"]).status_code == 202


def test_the_report_of_an_old_version_is_shown_with_its_aliases_of_today(client: FlaskClient, shop: Repository) -> None:
    page = client.get("/v1/models/shop/versions/1/report")
    assert page.status_code == 200 and '<span class="badge">canary</span>' in page.text
    facts = client.get("/v1/models/shop/versions/1/report?format=json").get_json()
    assert (facts["model"], facts["version"], facts["target"]) == ("shop", 1, "bleibt")
    assert client.get("/v1/models/shop/versions/2/report").status_code == 404


def test_a_new_version_can_be_compared_with_an_old_one(shop: Repository) -> None:
    hashes = load_hashes(shop.report_dir("shop", 1), shop.manifest("shop", 1))
    assert hashes is not None and len(hashes) == 180
