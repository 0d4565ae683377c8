"""Lists the versions that lie in site/, a folder each, and leads from its address to the newest:
`python -m docs_site.versions FOLDER`."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path


def write_versions(site: Path) -> None:
    """Write `versions.json`, newest first, which the pages of each version read, and the page that leads on."""
    names = [folder.name for folder in site.iterdir() if re.fullmatch(r"\d+(\.\d+)*", folder.name)]
    versions = sorted(names, key=lambda name: [int(part) for part in name.split(".")], reverse=True)
    (site / "versions.json").write_text(json.dumps(versions))
    newest = versions[0]
    (site / "index.html").write_text(
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Modelgate</title><link rel="icon" href="data:,">'
        f'<meta http-equiv="refresh" content="0; url={newest}/"><a href="{newest}/">Modelgate {newest}</a></html>\n'
    )


if __name__ == "__main__":
    write_versions(Path(sys.argv[1]))
