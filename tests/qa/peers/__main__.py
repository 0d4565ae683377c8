"""`python -m tests.qa.peers ADDRESS` asks the Modelgate at `ADDRESS` all cases, and prints a table."""

from __future__ import annotations

import argparse
import sys

from tests.qa.peers.suite import Server
from tests.qa.peers.suites import SUITES


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.qa.peers", description=__doc__)
    parser.add_argument("address", help="such as http://127.0.0.1:8080, with the models iris, loan and boston alone")
    parser.add_argument("--grpc", default="", help="its gRPC server, such as 127.0.0.1:8001")
    parser.add_argument("--only", metavar="PEER", help="one suite, such as MLServer")
    arguments = parser.parse_args()
    server = Server(arguments.address.rstrip("/"), arguments.grpc)
    failures = 0
    print(f"{'peer':24} passed failed not applicable")
    for suite in (suite for suite in SUITES if arguments.only in (None, suite.peer)):
        failed = {case: failure for case in suite.cases if (failure := case.failure(server))}
        print(f"{suite.peer:24} {len(suite.cases) - len(failed):6} {len(failed):6} {len(suite.left_out):14}")
        for case, failure in failed.items():
            print(f"  failed: {case.name}: {case.differs or ' '.join(failure.split())[:200]}")
        for name, reason in suite.left_out.items():
            print(f"  not applicable: {name}: {reason}")
        failures += sum(not case.differs for case in failed)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
