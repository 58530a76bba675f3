"""A bare Litestar route that returns given bytes: what our API's cached reads are measured against.

`python -m loadtest.bare PORT FILE`
"""

from __future__ import annotations

import sys
from pathlib import Path

import uvicorn
from litestar import Litestar, Response, get


def main() -> None:
    """Serves the file's bytes as JSON at `/`, under the same server with the same settings as ours."""
    body = Path(sys.argv[2]).read_bytes()

    @get("/", sync_to_thread=False)
    def answer() -> Response[bytes]:
        return Response(body, media_type="application/json")

    uvicorn.run(
        Litestar([answer], openapi_config=None, logging_config=None),
        port=int(sys.argv[1]),
        http="httptools",
        loop="auto",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
    )


if __name__ == "__main__":
    main()
