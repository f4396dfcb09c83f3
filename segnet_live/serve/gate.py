"""Who may come in: the token, the Host and Origin of requests, and the headers that every answer carries."""

from __future__ import annotations

import hmac
import ipaddress
import json
import sys
from http.cookies import CookieError, SimpleCookie

from starlette.datastructures import Headers, MutableHeaders, QueryParams
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from segnet_live.serve.limits import Refused
from segnet_live.system import crash

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob: data:",
        "media-src blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
"""What a browser may do with the page: nothing that is not this server's, nothing inline."""
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "cache-control": "no-store",
}
LOCKED = "this page needs its token: open the whole address that segnet-live serve printed"


def is_loopback(host: str) -> bool:
    """Return whether `host`, a name or an address, can be reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def error(refused: Refused) -> Response:
    """Return the answer that says why a request is not carried out: one line of JSON."""
    headers = {} if refused.retry_s is None else {"retry-after": str(refused.retry_s)}
    body = json.dumps({"error": str(refused)}) + "\n"
    return Response(body, refused.status, headers, "application/json")


class Gate:
    """The outermost layer of the app: lets requests in, or says why not, and adds headers to every answer.

    Args:
        token: what guests have to show.
        port: names the cookie, for a browser gives one host's cookies to all its ports.
        open_to_all: the server listens on more than the loopback address: the token is required. Else it is not, but
            requests must name this machine as their host, so that no page from elsewhere can reach it by a name of its
            own that leads here.
    """

    def __init__(self, app: ASGIApp, *, token: str, port: int, open_to_all: bool) -> None:
        self._app, self._token, self._open_to_all = app, token, open_to_all
        self._cookie = f"segnet_live_{port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        begun = ended = False

        async def send_with_headers(message: Message) -> None:
            nonlocal begun, ended
            if message["type"] == "http.response.start":
                begun = True
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            ended = ended or (message["type"] == "http.response.body" and not message.get("more_body", False))
            await send(message)

        try:
            answer = self._turned_away(scope)
            if answer is None:
                await self._app(scope, receive, send_with_headers)
                return
        except Refused as refused:
            answer = error(refused)
        except (
            Exception
        ) as failure:  # a fault of ours is one request's; the terminal names the report with its traceback
            print(f"segnet-live: {scope['path'][:80]!r} failed: {crash.report(failure)}", file=sys.stderr, flush=True)
            if begun and not ended:
                raise  # closes the connection: nobody must take half an answer for a whole one
            return
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
            return
        await answer(scope, receive, send_with_headers)

    def _turned_away(self, scope: Scope) -> Response | None:
        """Return the answer to who may not come in, None to who may.

        Raises:
            Refused: 403, it comes from elsewhere.
        """
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if not self._open_to_all and not is_loopback(_name(host)):
            raise Refused(403, f"this server is for its own machine: ask for 127.0.0.1 or localhost, not {host[:80]!r}")
        origin = headers.get("origin")
        if origin is not None and origin.partition("://")[2].lower() != host.lower():
            raise Refused(403, "the request comes from a page of another site")
        path = scope["path"]
        given = QueryParams(scope["query_string"]).get("token")
        if path == "/" and given is not None and self._fits(given):
            answer = RedirectResponse("/", 303)
            # Lax: a link to the page works, requests from other sites' pages do not carry it.
            answer.set_cookie(self._cookie, self._token, httponly=True, samesite="lax", path="/")
            return answer
        if path == "/favicon.ico":  # browsers ask for it wherever they are turned away, and complain about a refusal
            return Response(status_code=204)
        if not self._open_to_all or path == "/health" or path.startswith("/page/") or self._is_known(headers):
            return None
        if path == "/" and "text/html" in headers.get("accept", ""):
            return PlainTextResponse(LOCKED, 401)
        raise Refused(401, "no token, or a wrong one: send Authorization: Bearer TOKEN")

    def _is_known(self, headers: Headers) -> bool:
        kind, _, token = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and self._fits(token.strip()):
            return True
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(self._cookie)
        except CookieError:
            return False
        return cookie is not None and self._fits(cookie.value)

    def _fits(self, token: str) -> bool:
        return hmac.compare_digest(token.encode(), self._token.encode())


def _name(host: str) -> str:
    """Return the name or address in a Host header, without its port."""
    return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
