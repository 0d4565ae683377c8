"""LitServe with batching: `python -m bench.alternatives.litserve_batch PORT BATCH TIMEOUT`.

Takes and gives what the inline servers do, so the rows of a batch are laid together and their predictions
parted again here.
"""

# Not `from __future__ import annotations`: LitServe looks at the annotation of `request` itself.
import sys
from typing import Any

import litserve
from fastapi import Request

from bench.alternatives import inline


class Predict(litserve.LitAPI):
    def __init__(self, name: str, batch: int, timeout: float) -> None:
        super().__init__(api_path=f"/predict/{name}", max_batch_size=batch, batch_timeout=timeout)
        self.name = name

    def setup(self, device: str) -> None:
        self.model = inline.load(self.name)

    def decode_request(self, request: Request) -> list[Any]:
        return inline.rows(request)  # which LitServe has parsed already

    # With batches of 1, LitServe calls neither `batch` nor `unbatch`, and `predict` with the one input.
    def batch(self, inputs: list[list[Any]]) -> list[list[Any]]:
        return inputs

    def predict(self, inputs: list[Any]) -> list[Any]:
        if self.max_batch_size == 1:
            return list(self.model.predict(inline.matrix(self.name, inputs)).tolist())
        together = [row for rows in inputs for row in rows]
        predictions = iter(self.model.predict(inline.matrix(self.name, together)).tolist())
        return [[next(predictions) for _ in rows] for rows in inputs]

    def unbatch(self, output: list[list[Any]]) -> list[list[Any]]:
        return output

    def encode_response(self, output: list[Any]) -> dict[str, list[Any]]:
        return {"predictions": output}


def main() -> None:
    port, batch = (int(argument) for argument in sys.argv[1:3])
    apis = [Predict(name, batch, float(sys.argv[3])) for name in inline.names()]
    server = litserve.LitServer(apis, accelerator="cpu", workers_per_device=1)
    server.run(
        host="127.0.0.1",
        port=port,
        num_api_servers=1,
        log_level="warning",
        access_log=False,
        generate_client_file=False,
    )


if __name__ == "__main__":
    main()
