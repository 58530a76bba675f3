"""A history: requests one after the other, each drawn with what the answers before have taught."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

from tests.api.fuzz.choices import Choices
from tests.api.fuzz.oracle import Got, Oracle, Sent
from tests.api.fuzz.values import ODD, WORDS, Values, is_plain

UNREADABLE = object()
STREAM = "/v1/events"
ODD_IDS = (
    "00000000-0000-7000-8000-000000000000",
    "ffffffff-ffff-ffff-ffff-ffffffffffff",
    "0",
    "{00000000-0000-7000-8000-000000000000}",
    "00000000000070008000000000000000",
)
ODD_HEADERS = ("*", '"1"', '"1.0000000f"', 'W/"1"', "0" * 16, "f" * 16, "x", "k" * 256, "", "ä", '"', "-1")
# Zero bytes make a job; what begins a life comes often.
OFTEN = 6 * (("POST", "/v1/jobs"), ("POST", "/v1/executions"), ("PUT", "/v1/jobs/by-name/{name}"))


def ids_of(got: Got) -> dict[str, Any]:
    """Returns what an answer says that stays as it is, whatever else becomes of it."""
    answer = got.json()
    return {name: answer.get(name) for name in ("job_id", "execution_id", "execution_ids", "enqueued")}


class Wire:
    """One client with keys of several scopes, on one connection as long as that lasts."""

    def __init__(self, port: int, keys: Mapping[str, str]) -> None:
        self._port = port
        self._keys = keys
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)

    def close(self) -> None:
        """Ends the connection."""
        self._connection.close()

    def exchange(self, sent: Sent, *, scope: str = "admin") -> Got:
        """Sends a request and returns the answer."""
        headers = dict(sent.headers)
        if scope in self._keys:
            headers["Authorization"] = f"Bearer {self._keys[scope]}"
        began = time.perf_counter()
        self._connection.request(sent.method, sent.target, body=sent.body, headers=headers)
        answer = self._connection.getresponse()
        body = answer.read()
        seconds = time.perf_counter() - began
        return Got(answer.status, {k.lower(): v for k, v in answer.getheaders()}, body, seconds)


class History:
    """What a client has done, and what must hold since."""

    def __init__(self, number: int, document: dict[str, Any], wire: Wire, oracle: Oracle) -> None:
        self._document = document
        self._wire = wire
        self._oracle = oracle
        self._number = number
        self._operations = [
            *OFTEN,
            *((m.upper(), p) for p, of in document["paths"].items() if p != STREAM for m in of),
        ]
        self._values = Values(document, prefix=f"{number}-")
        self.etags: dict[str, str] = {}
        """Of every job that there is, by its id."""
        self._names: dict[str, str] = {}
        self._gone: list[str] = []
        self._executions: list[str] = []
        self._cancelled: set[str] = set()
        self._cursors: dict[str, str] = {}
        self._token = ""
        self._answered: dict[tuple[str, str], tuple[Sent, Got]] = {}
        """By who asked, and the Idempotency-Key: each API key has its own."""

    def step(self, choices: Choices) -> None:
        """Draws a request, sends it, and checks the answer by the document and by what went before."""
        again = choices.once_in(12) and self._answered
        sent = choices.of([s for s, _ in self._answered.values()]) if again else self._draw(choices)
        scope = choices.of(("read", "enqueue", "operate", "nobody")) if choices.once_in(24) else "admin"
        self.send(sent, scope)

    def send(self, sent: Sent, scope: str = "admin") -> Got:
        """Sends a request, and checks the answer."""
        got = self._wire.exchange(sent, scope=scope)
        try:
            self._oracle.check(sent, got)
            self._check_replay(sent, got, scope)
            self._check_jobs(sent, got)
            self._check_executions(sent, got)
        except AssertionError as error:
            what = f"{sent.method} {sent.target} {sent.headers} {(sent.body or b'')[:2_000]!r} as {scope}"
            raise AssertionError(
                f"{error}\n{what}\n-> {got.status} {got.headers} {got.body[:2_000]!r}"
            ) from error
        self._learn(sent, got, scope)
        return got

    def end(self, page: int) -> None:
        """Lists the jobs page by page: all that there are, each once; then deletes them."""
        listed: list[str] = []
        query = {"name_prefix": f"{self._number}-", "limit": str(page)}
        while True:
            got = self.send(self._plain("GET", "/v1/jobs", query=query))
            assert got.status == 200, got
            listed += (item["job_id"] for item in got.json()["items"])
            if got.json()["next_cursor"] is None:
                break
            query["cursor"] = got.json()["next_cursor"]
        own = [job_id for job_id, name in self._names.items() if name.startswith(f"{self._number}-")]
        assert sorted(listed) == sorted(own), f"listed {listed}, there are {own}"
        for job_id in list(self.etags):
            path = "/v1/jobs/{job_id}"
            got = self.send(self._plain("DELETE", path, target=f"/v1/jobs/{job_id}"))
            assert got.status == 204, got

    def _plain(
        self, method: str, path: str, *, target: str = "", query: Mapping[str, str] | None = None
    ) -> Sent:
        headers = {"X-Consistency-Token": self._token} if self._token and method == "GET" else {}
        target = target or path
        return Sent(method, path, f"{target}?{urlencode(query)}" if query else target, headers, None)

    def _draw(self, choices: Choices) -> Sent:
        method, path = choices.of(self._operations)
        operation = self._document["paths"][path][method.lower()]
        target = path
        query: dict[str, str] = {}
        headers: dict[str, str] = {}
        for parameter in operation.get("parameters", ()):
            if "$ref" in parameter:
                parameter = self._document["components"]["parameters"][parameter["$ref"].rpartition("/")[2]]
            name = parameter["name"]
            match parameter["in"]:
                case "path":
                    part = quote(self._draw_id(choices, name), safe="", errors="surrogatepass")
                    target = target.replace("{" + name + "}", part)
                case "query":
                    if choices.once_in(4):
                        query[name] = self._draw_query(choices, path, name, parameter["schema"])
                case _:
                    if header := self._draw_header(choices, name):
                        headers[name] = header
        if choices.once_in(60):
            query["unknown"] = "1"
        if query:
            target += "?" + urlencode(query, errors="surrogatepass")
        taken = operation.get("requestBody")
        if taken is None or (choices.once_in(2) and not taken["required"]):
            return Sent(method, path, target, headers, None)
        headers["Content-Type"] = "application/json"
        if choices.once_in(60):
            headers["Content-Type"] = choices.of(("text/plain", "application/xml", "x", "application/jsonx"))
        value = self._values.draw(choices, taken["content"]["application/json"]["schema"])
        body = json.dumps(value).encode()
        if choices.once_in(60):
            body, value = body[:-1] + choices.of((b"", b"\xff", b",", b"}}")), UNREADABLE
        return Sent(method, path, target, headers, body, value)

    def _draw_id(self, choices: Choices, name: str) -> str:
        if name == "name":
            known = list(self._names.values())
            if known and choices.once_in(2):
                return choices.of(known)
            return f"{self._number}-{choices.of(WORDS)}"
        if choices.once_in(16):
            return choices.of([*ODD_IDS, *(o for o in ODD if isinstance(o, str) and o and len(o) < 1_000)])
        if name == "execution_id":
            return choices.of(self._executions or ODD_IDS)
        if self._gone and choices.once_in(8):
            return choices.of(self._gone)
        return choices.of(list(self.etags) or ODD_IDS)

    def _draw_query(self, choices: Choices, path: str, name: str, schema: dict[str, Any]) -> str:
        if name == "cursor" and path in self._cursors and not choices.once_in(4):
            return self._cursors[path]
        if name == "job_id" and self.etags:
            return choices.of(list(self.etags))
        value = self._values.draw(choices, schema, name=name)
        return value if isinstance(value, str) else json.dumps(value)

    def _draw_header(self, choices: Choices, name: str) -> str:
        if choices.once_in(20):
            odd = choices.of(ODD_HEADERS)
            if name == "Idempotency-Key":  # of this history, and of no other
                odd += str(self._number)
            return odd if is_plain(odd) else ""
        match name:
            case "If-Match" if choices.once_in(3):
                return choices.of((*self.etags.values(), "*"))
            case "Idempotency-Key" if choices.once_in(3):
                return f"{self._number}-{choices.below(4)}"
            case "X-Consistency-Token" if not choices.once_in(4):
                return self._token
        return ""

    def _check_replay(self, sent: Sent, got: Got, scope: str) -> None:
        """A request that was answered is done once; another under its key is refused."""
        key = (scope, sent.headers.get("Idempotency-Key", ""))
        replayed = got.headers.get("idempotent-replayed")
        if key not in self._answered:
            assert replayed is None, "replayed what was never sent"
            return
        before, answer = self._answered[key]
        if (sent.method, sent.target, sent.body) == (before.method, before.target, before.body):
            if got.status == 404:
                assert ids_of(answer)["job_id"] in self._gone, "what it has made is there still"
                return
            assert (got.status, ids_of(got)) == (answer.status, ids_of(answer)), f"answered {answer} before"
            assert replayed == "true"
        else:
            assert got.status >= 400, "one key, two requests"

    def _check_jobs(self, sent: Sent, got: Got) -> None:
        job_id = sent.target.partition("?")[0].removeprefix("/v1/jobs/").partition("/")[0]
        is_read = sent.method == "GET" and sent.headers.get("X-Consistency-Token") == self._token != ""
        if job_id in self.etags and (is_read or sent.method != "GET"):
            assert got.status != 404, "there is such a job"
        if job_id in self._gone and got.status < 300 and "idempotent-replayed" not in got.headers:
            # What was cached is read without a token, and its history stays.
            assert sent.method == "GET", "there is no such job any more"
            assert not is_read or sent.path.endswith(("/executions", "/fires")), (
                "there is no such job any more"
            )
        if is_read and sent.path == "/v1/jobs/{job_id}" and got.status == 200:
            assert got.headers["etag"] == self.etags[job_id], f"its ETag is {self.etags[job_id]}"
        if "If-Match" in sent.headers and job_id in self.etags:
            # What follows the version tells apart two answers, not two definitions.
            wanted, current = (
                etag.strip().removeprefix("W/").strip('"').partition(".")[0]
                for etag in (sent.headers["If-Match"], self.etags[job_id])
            )
            if got.status < 300:
                assert wanted in ("*", current), f"it is at version {current}"
            elif got.status == 412:
                assert wanted not in ("*", current), "it is at this version"

    def _check_executions(self, sent: Sent, got: Got) -> None:
        if sent.method != "GET" or sent.path != "/v1/executions/{execution_id}":
            return
        execution_id = sent.target.removeprefix("/v1/executions/")
        if execution_id in self._executions and sent.headers.get("X-Consistency-Token") == self._token != "":
            assert got.status != 404, "there is such an execution"
            if got.status == 200 and execution_id in self._cancelled:
                assert got.json()["status"] == "cancelled"

    def _learn(self, sent: Sent, got: Got, scope: str) -> None:
        if got.status >= 300 or "idempotent-replayed" in got.headers:
            return
        if sent.method != "GET":
            self._token = got.headers.get("x-consistency-token", self._token)
            if key := sent.headers.get("Idempotency-Key"):
                self._answered[scope, key] = (sent, got)
        if sent.method == "DELETE":
            job_id = sent.target.removeprefix("/v1/jobs/")
            del self.etags[job_id], self._names[job_id]
            self._gone.append(job_id)
            return
        answer = got.json()
        if sent.method == "GET":
            if isinstance(answer, dict) and answer.get("next_cursor"):
                self._cursors[sent.path] = answer["next_cursor"]
        elif "name" in answer and "job_id" in answer and "etag" in got.headers:
            self.etags[answer["job_id"]] = got.headers["etag"]
            self._names[answer["job_id"]] = answer["name"]
        elif "execution_ids" in answer:
            self._executions += answer["execution_ids"][:20]
            if sent.path.endswith("/bulk"):
                assert len(answer["execution_ids"]) == len(sent.value["items"])
        elif "execution_id" in answer:
            execution_id = answer["execution_id"]
            self._executions.append(execution_id)
            if sent.path.endswith("/cancel"):
                self._cancelled.add(execution_id)
            elif sent.path.endswith("/retry"):
                self._cancelled.discard(execution_id)
