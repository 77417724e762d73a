"""A Hugging Face hub on this machine: the part of its HTTP interface that a download needs."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from urllib.parse import unquote, urlsplit


@dataclass
class HubModel:
    """A repository: its files at the one commit of its main branch."""

    files: dict[str, bytes]
    gated: bool = False

    @property
    def commit(self) -> str:
        content = b"".join(name.encode() + data for name, data in sorted(self.files.items()))
        return hashlib.sha1(content).hexdigest()

    @classmethod
    def from_folder(cls, folder: Path, **more: bytes) -> HubModel:
        return cls({file.name: file.read_bytes() for file in folder.iterdir()} | more)


@dataclass(frozen=True)
class HubRequest:
    """What a client asked for; ``range_header`` is "" where it wanted a whole file."""

    method: str
    path: str
    range_header: str
    authorization: str


@dataclass
class HubServer:
    """Serves ``models`` (id -> repository) at ``endpoint`` while its block lasts.

    Attributes:
        models: what there is.
        requests: what was asked for, in order.
        cut_after: file name -> bytes after which the connection is cut, once.
        down: answer every request for a file with 503.
        down_after_cut: go down when a connection is cut.
    """

    models: dict[str, HubModel] = field(default_factory=dict)
    requests: list[HubRequest] = field(default_factory=list)
    cut_after: dict[str, int] = field(default_factory=dict)
    down: bool = False
    down_after_cut: bool = False

    def __enter__(self) -> HubServer:
        handler = type("Handler", (_Handler,), {"hub": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def downloads(self) -> list[HubRequest]:
        """Requests for the content of files."""
        return [r for r in self.requests if r.method == "GET" and "/resolve/" in r.path]


class _Handler(BaseHTTPRequestHandler):
    hub: HubServer
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base's name)
        """Keep the test's output clean."""

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        headers = self.headers
        self.hub.requests.append(
            HubRequest(
                self.command,
                path,
                headers.get("Range", ""),
                headers.get("Authorization", ""),
            )
        )
        info = re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/([^/]+))?", path)
        tree = re.fullmatch(r"/api/models/([^/]+/[^/]+)/tree/([^/]+)", path)
        file = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
        match = info or tree or file
        model = self.hub.models.get(match[1]) if match else None
        if match is None or model is None:
            self._refuse(404 if headers.get("Authorization") else 401, "RepoNotFound")
        elif (match[2] or "main") not in ("main", model.commit):
            self._refuse(404, "RevisionNotFound")
        elif info:
            self._send_json(
                {
                    "id": match[1],
                    "sha": model.commit,
                    "gated": "auto" if model.gated else False,
                    "siblings": [{"rfilename": name} for name in model.files],
                }
            )
        elif model.gated and not headers.get("Authorization"):
            self._refuse(401, "GatedRepo")
        elif tree:
            self._send_json(
                [
                    {"type": "file", "path": name, "size": len(data), "oid": _etag(data)}
                    for name, data in model.files.items()
                ]
            )
        elif match[3] not in model.files:
            self._refuse(404, "EntryNotFound")
        else:
            self._send_file(model, match[3])

    def _send_file(self, model: HubModel, name: str) -> None:
        if self.hub.down:
            self._refuse(503, "")
            return
        content = model.files[name]
        span = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        start = int(span[1]) if span else 0
        end = int(span[2]) + 1 if span and span[2] else len(content)
        self.send_response(206 if span else 200)
        self.send_header("Content-Length", str(end - start))
        if span:
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(content)}")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("ETag", f'"{_etag(content)}"')
        self.send_header("X-Repo-Commit", model.commit)
        self.end_headers()
        if self.command == "HEAD":
            return
        cut = self.hub.cut_after.pop(name, None)
        self.wfile.write(content[start : end if cut is None else start + cut])
        if cut is not None:
            self.hub.down = self.hub.down_after_cut
            self.close_connection = True

    def _send_json(self, answer: object) -> None:
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        if code:
            self.send_header("X-Error-Code", code)
        self.end_headers()


def _etag(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()
