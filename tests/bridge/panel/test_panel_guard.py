"""Who gets in: Host, Origin, token; and what every answer says to a browser."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from panel_session import RunningPanel, running_panel
from sidekeys_bridge.panel.pages import MOST_PAGES

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self' ws://{host}; media-src blob: 'self'; font-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)


@pytest.fixture(scope="module")
def panel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPanel]:
    with running_panel(tmp_path_factory.mktemp("guarded")) as started:
        yield started


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:{port}", "127.0.0.1.evil.example:{port}", "", "192.168.1.20",
     "127.0.0.1:{port}@evil.example", "localhost.", "a b", "127.0.0.1:x", "[::2]:{port}"],
)  # fmt: skip
def test_a_name_that_is_not_ours_is_refused_everywhere(panel: RunningPanel, host: str):
    host = host.format(port=panel.port)
    with panel.http(host=host) as browser:
        for path in ("/", "/static/index.html", "/api/notebook", "/nothing"):
            answer = browser.get(path)
            assert answer.status_code == 403, path
            assert answer.json()["code"] == "forbidden"
        assert browser.put("/api/notebook", json={}).status_code == 403


@pytest.mark.parametrize("host", ["127.0.0.1:{port}", "localhost:{port}", "LOCALHOST", "[::1]:9"])
def test_our_own_names_are_taken_at_any_port_for_tunnels(panel: RunningPanel, host: str):
    with panel.http(host=host.format(port=panel.port)) as browser:
        assert browser.get("/api/notebook").status_code == 200


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "http://127.0.0.1", "http://127.0.0.1:1", "https://127.0.0.1:{port}",
     "null", "http://localhost:{port}", ""],
)  # fmt: skip
def test_another_origin_is_refused_even_with_the_token(panel: RunningPanel, origin: str):
    with panel.http(origin=origin.format(port=panel.port)) as browser:
        for ask in (
            browser.put("/api/notebook", json={}),
            browser.post("/api/stems?name=a.wav", content=b"RIFF"),
            browser.delete("/api/stems/x"),
            browser.get("/api/notebook"),
        ):
            assert (ask.status_code, ask.json()["code"]) == (403, "forbidden")


def test_two_hosts_or_two_origins_are_refused(panel: RunningPanel):
    own = f"http://{panel.address}"
    with panel.http() as browser:
        two = [("Origin", own), ("Origin", "http://evil.example")]
        assert browser.get("/api/notebook", headers=two).status_code in (400, 403)


def test_the_pages_own_origin_and_none_at_all_are_taken_with_the_token(panel: RunningPanel):
    for headers in ({"origin": f"http://{panel.address}"}, {}):
        with panel.http(**headers) as browser:
            present = browser.get("/api/notebook").json()
            assert browser.put("/api/notebook", json=present).status_code == 200


@pytest.mark.parametrize(
    "secret", [None, "Bearer", "Bearer x", "Basic {token}", "{token}", "Bearer {token}x",
               "Bearer Ω"]
)  # fmt: skip
def test_without_the_token_nothing_under_api_is_answered(panel: RunningPanel, secret: str | None):
    with panel.http(token=None) as browser:
        headers = []
        if secret is not None:
            headers = [("Authorization", secret.format(token=panel.token).encode("utf-8"))]
        for method, path in (
            ("GET", "/api/notebook"), ("PUT", "/api/notebook"), ("GET", "/api"),
            ("GET", "/api/nothing"), ("POST", "/api/stems"), ("GET", "/api/covers/x.mid"),
            ("DELETE", "/api/covers/x"), ("GET", "/api/takes/x.mid"),
            ("GET", "/api/auditions/full"),
        ):  # fmt: skip
            answer = browser.request(method, path, headers=headers)
            if path == "/api":
                assert answer.status_code in (401, 404)
                continue
            assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized"), path
            assert "sidekeys start" in answer.json()["message"]


def test_the_page_itself_needs_no_token_and_holds_none(panel: RunningPanel):
    with panel.http(token=None) as browser:
        answer = browser.get("/")
        assert answer.status_code == 200
        assert "text/html" in answer.headers["content-type"]
        assert panel.token not in answer.text


def test_every_answer_carries_what_a_browser_must_not_do(panel: RunningPanel):
    with panel.http() as browser:
        for path, caching in (
            ("/", "no-cache"), ("/static/index.html", "no-cache"), ("/nothing", "no-store"),
            ("/api/notebook", "no-store"), ("/api/nothing", "no-store"),
        ):  # fmt: skip
            headers = browser.get(path).headers
            assert headers["content-security-policy"] == POLICY.format(host=panel.address)
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "no-referrer"
            assert headers["cross-origin-opener-policy"] == "same-origin"
            assert headers["cross-origin-resource-policy"] == "same-origin"
            assert headers["cache-control"] == caching
            assert "server" not in headers
            assert "access-control-allow-origin" not in headers


def test_what_has_not_changed_is_not_sent_again(panel: RunningPanel):
    with panel.http() as browser:
        for path in ("/", "/static/index.html"):
            tag = browser.get(path).headers["etag"]
            assert browser.get(path, headers={"If-None-Match": tag}).status_code == 304


@pytest.mark.parametrize(
    "path",
    ["/static/../app.py", "/static/..%2fapp.py", "/static/%2e%2e/app.py", "/static//etc/passwd",
     "/static/..%5capp.py", "/static/%00", "/static/" + "a" * 5000, "/static/", "/static"],
)  # fmt: skip
def test_nothing_but_the_pages_parts_is_handed_out(panel: RunningPanel, path: str):
    import http.client

    asking = http.client.HTTPConnection("127.0.0.1", panel.port, timeout=10)
    asking.putrequest("GET", path, skip_host=True)
    asking.putheader("Host", panel.address)
    asking.endheaders()
    answer = asking.getresponse()
    body = answer.read()
    asking.close()
    assert answer.status == 404
    assert json.loads(body)["code"] == "not-found"


def test_wrong_methods_and_unknown_paths_are_told_as_json(panel: RunningPanel):
    with panel.http() as browser:
        for method, path in (
            ("POST", "/api/notebook"), ("GET", "/api/stems"), ("PUT", "/api/covers/x"),
            ("POST", "/"), ("DELETE", "/static/index.html"),
        ):  # fmt: skip
            answer = browser.request(method, path)
            assert (answer.status_code, answer.json()["code"]) == (405, "method"), path
        for path in ("/api/nothing", "/nothing", "/api/", "/live"):
            assert browser.get(path).status_code == 404
            assert browser.get(path).json()["code"] == "not-found"


def test_no_log_has_the_token(tmp_path: Path):
    with running_panel(tmp_path) as panel:
        with panel.http() as browser:
            browser.get("/api/notebook")
            browser.get(f"/api/{panel.token}")
        with panel.page() as page:
            page.wait_for("bridge")
        with panel.socket() as socket:
            socket.send(panel.token)
            with pytest.raises(ConnectionClosed):
                socket.recv(10)
        assert panel.end() == 0
        assert panel.token not in panel.output.read_text()
        assert panel.output.read_text() == ""


# --- the websocket


@pytest.mark.parametrize(
    "origin", [None, "http://evil.example", "null", "http://127.0.0.1:1", "http://localhost:{port}"]
)
def test_a_websocket_of_another_page_is_refused(panel: RunningPanel, origin: str | None):
    given = None if origin is None else origin.format(port=panel.port)
    with pytest.raises(InvalidStatus) as refused:
        panel.socket(origin=given)
    assert refused.value.response.status_code == 403


def test_a_websocket_under_a_foreign_name_is_refused(panel: RunningPanel):
    import socket

    from websockets.sync.client import connect

    for host in ("evil.example", f"evil.example:{panel.port}"):
        raw = socket.create_connection(("127.0.0.1", panel.port))
        with raw, pytest.raises(InvalidStatus) as refused:
            connect(f"ws://{host}/live", sock=raw, origin=f"http://{host}", proxy=None)
        assert refused.value.response.status_code == 403


@pytest.mark.parametrize(
    "hello",
    ["{}", "[]", "x", '{"type": "hello", "id": "0", "content": {"token": "x"}}',
     '{"type": "hello", "id": "0", "content": {"token": null}}',
     '{"type": "hello", "id": "0", "content": {}}', '{"type": "status", "id": "0"}',
     "[" * 60000, b"bytes"],
)  # fmt: skip
def test_a_websocket_without_the_token_is_closed(panel: RunningPanel, hello: str | bytes):
    with panel.socket() as socket:
        socket.send(hello)
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(10)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4401


def test_a_websocket_that_says_nothing_is_closed(panel: RunningPanel):
    with panel.socket() as socket, pytest.raises(ConnectionClosed) as closed:
        socket.recv(15)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4401


def test_too_long_a_message_closes_the_websocket_and_nothing_else(panel: RunningPanel):
    with panel.page() as page, panel.page() as other:
        page.wait_for("bridge")
        page.send("set", "1", text="x" * 66000)
        with pytest.raises(ConnectionClosed) as closed:
            page.next(10)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1009
        assert other.ask("shut-down")["content"]["code"] == "unknown"


def test_bytes_close_the_websocket(panel: RunningPanel):
    with panel.page() as page:
        page.wait_for("bridge")
        page.socket.send(b"x")
        with pytest.raises(ConnectionClosed) as closed:
            page.next(10)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1003


@pytest.mark.parametrize(
    "text",
    ["x", "[]", '{"type": 1}', '{"type": "status", "id": 7}',
     '{"type": "set", "id": "1", "content": {"bpm": NaN}}'],
)  # fmt: skip
def test_what_is_no_message_is_told_and_the_websocket_stays(panel: RunningPanel, text: str):
    with panel.page() as page:
        page.wait_for("bridge")
        page.socket.send(text)
        assert page.wait_for("error")["code"] == "malformed"
        assert page.ask("nothing")["content"]["code"] == "unknown"


@pytest.mark.parametrize("command", ["shut-down", "render", "cancel", "push-transport", "hello",
                                     "health", "", "x" * 1000])  # fmt: skip
def test_what_a_page_may_not_ask_is_refused(panel: RunningPanel, command: str):
    with panel.page() as page:
        answer = page.ask(command)
        assert (answer["type"], answer["content"]["code"]) == ("error", "unknown")


def test_too_many_pages_are_refused_and_those_that_are_open_stay(panel: RunningPanel):
    with contextlib.ExitStack() as opened:
        pages = [opened.enter_context(panel.page()) for _ in range(MOST_PAGES)]
        for page in pages:
            page.wait_for("bridge")
        with panel.page() as one_more, pytest.raises(ConnectionClosed) as closed:
            one_more.next(10)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4429
        assert pages[0].ask("nothing")["content"]["code"] == "unknown"


def test_without_a_bridge_a_page_is_told_how_to_start_one(panel: RunningPanel):
    with panel.page() as page:
        assert page.wait_for("bridge") == {"connected": False, "version": ""}
        answer = page.ask("panic")
        assert answer["type"] == "error"
        assert answer["content"] == {
            "code": "not-ready",
            "message": "The bridge does not run; start it with `sidekeys start`.",
        }
