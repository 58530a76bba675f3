"""What every answer of the API has."""

from __future__ import annotations

import httpx


def test_an_answer_has_the_id_of_its_request(client: httpx.Client) -> None:
    answer = client.get("/v1/nothing", headers={"X-Request-ID": "r-1"})

    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-request-id"] == "r-1"
