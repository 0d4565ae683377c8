"""The package of client-js/ asks a Modelgate, in Node and in Chromium."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.qa.clients.conftest import ADMIN_KEY, IRIS, LOAN, PROJECT, Modelgate, answered, started
from tests.qa.clients.tools import PACKAGE, node

HEAD = 'import { Modelgate, ModelgateError } from "./dist/index.js";\nconst modelgate = new Modelgate({ url: "%s" });\n'
SAID = "error => [error instanceof ModelgateError, error.status, error.code, error.errors.map(each => each.field)]"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the built package in `dist`."""
    folder = tmp_path_factory.mktemp("javascript")
    node(folder, "tsc", "--project", PACKAGE, "--outDir", folder / "dist")
    (folder / "package.json").write_text('{"type": "module"}')
    return folder


def printed(folder: Path, modelgate: Modelgate, expression: str) -> Any:
    """Return the value of an expression of JavaScript with `modelgate` in it."""
    (folder / "ask.js").write_text(f"{HEAD % modelgate.address}console.log(JSON.stringify({expression}));")
    return json.loads(node(folder, folder / "ask.js"))


def test_the_types_are_those_of_the_document(modelgate: Modelgate, tmp_path: Path) -> None:
    """`npm run types` writes them again."""
    node(PACKAGE, PACKAGE / "types.js", tmp_path / "openapi.ts", MODELGATE=modelgate.address)
    assert (tmp_path / "openapi.ts").read_text() == (PACKAGE / "src" / "openapi.ts").read_text()


def test_the_package_has_the_version_of_the_release() -> None:
    package = json.loads((PACKAGE / "package.json").read_text())
    assert f'VERSION = "{package["version"]}"' in (PROJECT / "contract" / "release.py").read_text()
    assert "dependencies" not in package


def test_rows_get_their_predictions(folder: Path, modelgate: Modelgate) -> None:
    expected = answered(modelgate, "loan", [LOAN, LOAN])
    rows = json.dumps([LOAN, LOAN])
    assert printed(folder, modelgate, f'await modelgate.model("loan").predict({rows})') == expected["predictions"]
    job = printed(folder, modelgate, f'await modelgate.model("loan@1").job({rows})')
    assert job["output"]["probabilities"] == expected["probabilities"]
    assert job["model"] == {"name": "loan", "version": 1}
    method = f'await modelgate.model("loan").predict({rows}, {{ method: "predict_proba" }})'
    assert len(printed(folder, modelgate, method)) == 2


@pytest.mark.parametrize(
    ("model", "rows", "expected"),
    [
        ("loan", [{**LOAN, "Gender": "male"}], [True, 422, "invalid_instances", ["Gender"]]),
        ("loam", [LOAN], [True, 404, "unknown_model", []]),
    ],
)
def test_a_refusal_has_its_code_and_its_fields(
    folder: Path, modelgate: Modelgate, model: str, rows: object, expected: list[object]
) -> None:
    expression = f'await modelgate.model("{model}").predict({json.dumps(rows)}).catch({SAID})'
    assert printed(folder, modelgate, expression) == expected


def test_a_signal_stops_the_waiting(folder: Path, modelgate: Modelgate) -> None:
    asked = f'modelgate.model("loan").predict([{json.dumps(LOAN)}], {{ signal: AbortSignal.abort() }})'
    assert printed(folder, modelgate, f"await {asked}.catch(error => error.name)") == "AbortError"


def test_a_request_whose_answer_is_lost_is_repeated_and_makes_one_job(folder: Path, modelgate: Modelgate) -> None:
    """`fetch` loses the first answer, after the gateway has sent it."""
    expression = f"""await (async () => {{
      const sent = [], real = fetch;
      globalThis.fetch = async (url, init) => {{
        const answer = await (await real(url, init)).json();
        sent.push(answer.id);
        if (sent.length === 1) throw new TypeError("the connection is lost");
        return Response.json(answer);
      }};
      await modelgate.model("loan").predict([{json.dumps(LOAN)}]);
      return sent;
    }})()"""
    first, second = printed(folder, modelgate, expression)
    assert first == second


@pytest.fixture
def page_of_another_origin(folder: Path) -> Iterator[str]:
    """The address of a server with the files of the built package."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_page_of_another_origin_predicts_with_a_key(
    folder: Path, only_iris: Path, tmp_path: Path, page_of_another_origin: str, browser: Browser
) -> None:
    origin = page_of_another_origin
    settings = {"TRAIN_ON_START": "none", "ADMIN_KEY": ADMIN_KEY, "CORS_ORIGINS": origin}
    script = """async ([url, apiKey, row]) => {
        const { Modelgate } = await import("/dist/index.js");
        const predicted = await new Modelgate({ url, apiKey }).model("iris").predict([row]);
        const refused = await new Modelgate({ url }).model("iris").predict([row]).catch(error => error.code);
        return [predicted, refused];
    }"""
    with started(tmp_path, only_iris, **settings) as modelgate:
        page = browser.new_page()
        page.goto(f"{origin}/package.json")
        assert page.evaluate(script, [modelgate.address, ADMIN_KEY, IRIS]) == [[0], "missing_key"]
        page.close()


def test_the_readme_prints_a_prediction(folder: Path, modelgate: Modelgate) -> None:
    _, program, *_ = (PACKAGE / "README.md").read_text().split("```")
    program = program.removeprefix("js\n").replace('"modelgate-client"', '"./dist/index.js"')
    (folder / "readme.js").write_text(program.replace("http://127.0.0.1:8080", modelgate.address))
    assert node(folder, folder / "readme.js") == "[ 0 ]\n"
