"""Who may come in: the Host, the Origin and the token of a request; and what every answer forbids.

A page of another site can make a browser knock here, under a name of its own that it lets point to
this machine (DNS rebinding), or across sites. The first is told by the Host, the second by the
Origin. Neither check replaces the token.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
import socket

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sidekeys_bridge.panel.panel_error import PanelError

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253})(?::[0-9]{1,5})?")
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    # Some browsers do not count a websocket to the same host as 'self'.
    "connect-src 'self' ws://{host}; media-src blob: 'self'; font-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Names:
    """The names that this server answers to.

    Args:
        host: the address that it listens at. Where that is every address of the machine, any
            address may be named, since no site can point an address elsewhere; but no name.
    """

    def __init__(self, host: str) -> None:
        self._any_address = is_any_address(host)
        self._names = {*_LOOPBACK, host.lower()}

    def includes(self, host: str) -> bool:
        """Whether a Host header names us, at whatever port: a tunnel may have another one."""
        found = _HOST.fullmatch(host)
        if found is None:
            return False
        name = found[1].strip("[]").lower()
        return name in self._names or (self._any_address and _is_address(name))


class Guard:
    """Lets an application see only requests that come from its own page, or from no page at all.

    Where there is an Origin, it must be that of the page. A request without one is no browser's
    doing across sites, and passes if it has the token; a websocket must have one.

    Args:
        app: what is guarded.
        names: that it answers to.
    """

    def __init__(self, app: ASGIApp, names: Names) -> None:
        self._app, self._names = app, names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer or pass on one request."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        hosts, origins = headers.getlist("host"), headers.getlist("origin")
        host = hosts[0] if len(hosts) == 1 else ""
        refusal = self._refusal(scope["type"], host, origins)
        if scope["type"] == "websocket":
            if refusal is not None:
                await send({"type": "websocket.close", "code": 1008})  # as HTTP: 403
                return
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    answer[name] = value
                shown = host if refusal is None else "127.0.0.1"
                answer["Content-Security-Policy"] = _CONTENT_POLICY.format(host=shown)
                is_part = scope["path"].startswith("/static/") or scope["path"] == "/"
                answer["Cache-Control"] = "no-cache" if is_part else "no-store"
            await send(message)

        if refusal is not None:
            response = JSONResponse(refusal.content(), refusal.status)
            await response(scope, receive, send_with_headers)
            return
        await self._app(scope, receive, send_with_headers)

    def _refusal(self, kind: str, host: str, origins: list[str]) -> PanelError | None:
        if not self._names.includes(host):
            return PanelError(
                "forbidden",
                "This address does not belong to the panel; open the one that `sidekeys start` "
                "prints.",
            )
        is_own = [origin.lower() == f"http://{host}".lower() for origin in origins]
        if not all(is_own) or len(origins) > 1 or (kind == "websocket" and not origins):
            return PanelError(
                "forbidden",
                "Another page wanted this; only the panel's own page may. Open the address that "
                "`sidekeys start` prints.",
            )
        return None


class TokenCheck:
    """Lets an application see only requests that carry the token.

    Args:
        app: what is guarded.
        token: the secret.
    """

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app, self._token = app, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer or pass on one request."""
        if scope["type"] == "http":
            given = Headers(scope=scope).getlist("authorization")
            scheme, _, secret = (given[0] if len(given) == 1 else "").partition(" ")
            if scheme.lower() != "bearer" or not is_token(secret.strip(), self._token):
                refusal = PanelError(
                    "unauthorized",
                    "This page does not know the panel's secret; open the address that "
                    "`sidekeys start` prints.",
                )
                response = JSONResponse(
                    refusal.content(), refusal.status, {"WWW-Authenticate": "Bearer"}
                )
                await response(scope, receive, send)
                return
        await self._app(scope, receive, send)


def is_token(given: object, token: str) -> bool:
    """Whether that is the token; how long it takes tells nothing about it."""
    text = given if isinstance(given, str) else ""
    return hmac.compare_digest(text.encode("utf-8", "replace"), token.encode())


def is_any_address(host: str) -> bool:
    """Whether listening there means every address of the machine."""
    return _is_address(host) and ipaddress.ip_address(host).is_unspecified


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens there."""
    if _is_address(host):
        return ipaddress.ip_address(host).is_loopback
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return False
    return bool(found) and all(
        ipaddress.ip_address(str(address[4][0]).partition("%")[0]).is_loopback for address in found
    )


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
