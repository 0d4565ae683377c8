"""The verb `docs`: the documentation of this release, from this machine."""

from __future__ import annotations

import webbrowser
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

from modelgate.command.exits import ExitCode, Failed
from modelgate.command.server import Port
from modelgate.command.session import Session
from modelgate.command.verbs import flag


def docs(
    session: Session,
    port: Port = None,
    no_open: Annotated[bool, flag("Print the address and open no browser.", "--no-open")] = False,
) -> None:
    """Show the documentation in a browser until Ctrl-C, without the network.

    It is that of the installed release, at an address of this machine that no other can reach.
    """
    site = _site()
    try:
        server = ThreadingHTTPServer(("127.0.0.1", port or 0), partial(_Files, directory=str(site)))
    except OSError as error:
        raise Failed(f"cannot listen on port {port}: {error.strerror}; leave out --port", ExitCode.USAGE) from error
    url = f"http://127.0.0.1:{server.server_port}/"
    with server, suppress(KeyboardInterrupt):
        session.show({"url": url}, lambda: [f"The documentation is at {url} until Ctrl-C"])
        if not no_open:
            webbrowser.open(url)
        server.serve_forever()


def _site() -> Path:
    """Return the folder of the site: in the server's package, or in a checkout beside it."""
    package = find_spec("modelgate_server")
    if package is None or package.origin is None:
        raise Failed("this is the client alone; the documentation comes with: pip install modelgate", ExitCode.FAILED)
    folder = Path(package.origin).resolve().parent
    for site in (folder / "site", folder.parent / "site"):
        if (site / "index.html").is_file():
            return site
    raise Failed(f"{folder.parent} has no documentation yet; make docs builds it", ExitCode.FAILED)


class _Files(SimpleHTTPRequestHandler):
    """Answers with the files of a folder, and with nothing else."""

    def list_directory(self, path: object) -> None:  # noqa: ARG002
        self.send_error(HTTPStatus.NOT_FOUND)

    def copyfile(self, source: Any, outputfile: Any) -> None:
        with suppress(ConnectionError):  # the browser has left the page
            super().copyfile(source, outputfile)

    def log_message(self, *args: object) -> None:
        pass
