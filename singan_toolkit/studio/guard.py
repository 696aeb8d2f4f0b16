"""Who may ask a studio for anything: the page that it made itself and, where there is a token, who knows that."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "singan-tk-studio"
LOCAL = ("127.0.0.1", "localhost", "[::1]")
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Guard:
    """Lets through what comes from the studio's own page, and refuses the rest in one sentence.

    Args:
        app: What is guarded.
        token: What a request must know, by its address or its cookie. None where only this machine can ask: then the
            name that it is asked by must be this machine's, so that no other site can pass itself off as the studio.
    """

    def __init__(self, app: ASGIApp, token: str | None) -> None:
        self.app, self.token = app, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or have it answered."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        knows = self._knows(scope)

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
                if self.token and knows:
                    headers.append("Set-Cookie", f"{COOKIE}={self.token}; HttpOnly; SameSite=Strict; Path=/")
            await send(message)

        problem = self._problem(scope) or (
            "" if knows else "this studio needs the token of the address that it printed"
        )
        answer = PlainTextResponse(problem, 403) if problem else self.app
        await answer(scope, receive, send_guarded)

    def _knows(self, scope: Scope) -> bool:
        if self.token is None:
            return True
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [])
        given += [cookie_parser(Headers(scope=scope).get("cookie", "")).get(COOKIE, "")]
        return any(hmac.compare_digest(one.encode(), self.token.encode()) for one in given)

    def _problem(self, scope: Scope) -> str:
        headers = Headers(scope=scope)
        host, origin = headers.get("host", ""), headers.get("origin")
        if self.token is None and host.rpartition(":")[0] not in LOCAL and host not in LOCAL:
            return f"this studio answers on this machine alone, and was asked as {host[:100]!r}"
        if origin is not None and origin.partition("://")[2] != host:
            return f"this studio answers its own page alone, and was asked by {origin[:100]!r}"
        visit = scope["method"] == "GET" and headers.get("sec-fetch-mode") == "navigate" and scope["path"] == "/"
        if headers.get("sec-fetch-site") in ("cross-site", "same-site") and not visit:
            return "this studio answers its own page alone, and was asked by another"
        return ""
