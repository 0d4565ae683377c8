"""How to use a version: a request with its own example, to paste into a shell or into Python."""

from __future__ import annotations

import json
import pprint
import re
import shlex

from contract.model.manifest import ModelManifest
from contract.model.report_placeholders import ADDRESS
from trainer.report.parts import UNSHOWN, Facts, NotShown

LONGEST = 16_000
"""Most characters of an example in a report."""

_PYTHON = """\
import json
import urllib.request

gateway = "{address}"
rows = [
{row}
]
request = urllib.request.Request(
    f"{{gateway}}{path}",
    json.dumps(rows).encode(),
    {{"Content-Type": "application/json", "Prefer": "wait=10"}},
)
with urllib.request.urlopen(request) as answer:
    print(json.load(answer)["output"])
"""


def usage(manifest: ModelManifest) -> Facts:
    """Return requests for `curl` and `python` that name this very version."""
    if not manifest.example:
        raise NotShown("The version has no example of a request.")
    path = f"/v1/models/{manifest.name}@{manifest.version}/predict"
    # Characters that are unsafe on a page or in a shell are written as escapes of JSON and Python.
    body = UNSHOWN.sub(_escaped, json.dumps(manifest.example, ensure_ascii=False, allow_nan=False))
    if len(body) > LONGEST:
        raise NotShown(f"The example is too long for a report; GET /v1/models/{manifest.name} shows it.")
    row = pprint.pformat(dict(manifest.example), sort_dicts=False, width=100)
    return {
        "curl": f"curl -s {ADDRESS}{path} \\\n"
        "  -H 'Content-Type: application/json' -H 'Prefer: wait=10' \\\n"
        f"  -d {shlex.quote(body)}",
        "python": _PYTHON.format(row=re.sub(r"^", "    ", row, flags=re.MULTILINE), address=ADDRESS, path=path),
    }


def _escaped(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"
