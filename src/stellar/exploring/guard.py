"""Who may ask the page's server: a browser that has opened the printed address, from the server's
own page, and nobody else.

The address has a token that nobody can guess. Who opens it gets a cookie, which scripts cannot
read and other sites cannot send. The Host is checked, since a name that an attacker owns may
lead to this machine (DNS rebinding), and the Origin, since any page may send requests here. What
runs, loads or frames the page is limited by headers.
"""

from collections.abc import Mapping
from secrets import compare_digest, token_urlsafe
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}
FOREIGN = "Requests come from this server's own page only.\n"
FRAMES = "https://huggingface.co https://*.hf.space"
SHOWN = {
    **{name: value for name, value in HEADERS.items() if name != "X-Frame-Options"},
    "Content-Security-Policy": POLICY.replace(
        "frame-ancestors 'none'", f"frame-ancestors 'self' {FRAMES}"
    ),
}
"""Of a page that is shown to all."""
CLOSED = (
    "This page is closed to others. Open the whole address that stellar explore printed, with its "
    "token; it is a new one each time that the command is started.\n"
)


class Guard:
    """Lets through what comes from the page, with the token, under one of these hosts."""

    def __init__(self, app: ASGIApp, hosts: tuple[str, ...]) -> None:
        self._app, self._hosts = app, hosts
        self._origins = tuple(f"http://{host}" for host in hosts)
        self.token, self._secret = token_urlsafe(32), token_urlsafe(32)
        # A cookie is sent to every port of a host: each server has a name of its own.
        self._cookie = f"stellar-{token_urlsafe(6)}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        headers = Headers(scope=scope)
        opening = self._is_opening(scope)
        refused = self._refused(scope["method"], headers, opening)

        more = dict(HEADERS)
        if opening and refused is None:
            cookie = f"{self._cookie}={self._secret}; HttpOnly; SameSite=Strict; Path=/"
            more["Set-Cookie"] = cookie
        answer = self._app if refused is None else PlainTextResponse(refused, 403)
        await answer(scope, receive, _with_headers(send, more))

    def _is_opening(self, scope: Scope) -> bool:
        """Whether it is the printed address, token and all."""
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        return scope["method"] == "GET" and scope["path"] == "/" and _same(given, self.token)

    def _refused(self, method: str, headers: Headers, opening: bool) -> str | None:
        """The sentence for whom is not let in, or None."""
        if headers.get("host") not in self._hosts:
            return f"This server is reached as http://{self._hosts[0]} only.\n"
        origin = headers.get("origin")
        if origin not in self._origins and (origin is not None or method not in ("GET", "HEAD")):
            return FOREIGN
        if opening:
            return None
        if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return FOREIGN
        return None if self._has_cookie(headers) else CLOSED

    def _has_cookie(self, headers: Headers) -> bool:
        pairs = (pair.strip().partition("=") for pair in headers.get("cookie", "").split(";"))
        return any(name == self._cookie and _same(value, self._secret) for name, _, value in pairs)


class OpenDoor:
    """Lets everybody in, where a page is shown to all (showcase.py). Only the page itself may ask
    for more than pictures, and only the hub's own pages may frame it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        headers, answer = Headers(scope=scope), self._app
        own = [f"{scheme}://{headers.get('host')}" for scheme in ("http", "https")]
        if scope["method"] not in ("GET", "HEAD") and headers.get("origin") not in own:
            answer = PlainTextResponse(FOREIGN, 403)
        await answer(scope, receive, _with_headers(send, SHOWN))


def _with_headers(send: Send, more: Mapping[str, str]) -> Send:
    """Answers that have these headers as well."""

    async def answered(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(more)
        await send(message)

    return answered


def _same(given: str, secret: str) -> bool:
    """In a time that tells nothing."""
    return compare_digest(given.encode("utf-8", "replace"), secret.encode())
