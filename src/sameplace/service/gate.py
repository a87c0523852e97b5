"""The gate that every request passes: the name it asks for, headers that tell browsers what is allowed, and the clock."""

import time
from http import HTTPStatus
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sameplace.service.metrics import Metrics
from sameplace.service.problems import told
from sameplace.service.settings import LOOPBACK, Settings

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def policy(tiles: str | None) -> str:
    """What the page may load: its own files, pictures from here, and map tiles if there are any."""
    origin = f" {urlsplit(tiles).scheme}://{urlsplit(tiles).netloc}" if tiles else ""
    return (
        f"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:{origin}; connect-src 'self'; "
        "manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


class Gate:
    """Wraps an application."""

    def __init__(self, app: ASGIApp, settings: Settings, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics
        self._names = settings.names | LOOPBACK if settings.names else frozenset[str]()
        self._headers = {
            "Content-Security-Policy": policy(settings.tiles),
            "X-Content-Type-Options": "nosniff",
            # Whoever lends map tiles may ask who draws them; nobody else hears anything.
            "Referrer-Policy": "strict-origin-when-cross-origin" if settings.tiles else "no-referrer",
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cross-Origin-Resource-Policy": "same-origin",
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 500

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        refusal = self._refusal(Headers(scope=scope), scope["method"])
        try:
            await (refusal or self._app)(scope, receive, sent)
        finally:
            # Routes, not addresses: these are few. What came to no route counts together.
            route = getattr(scope.get("route"), "path", "none")
            method = scope["method"] if scope["method"] in METHODS else "other"
            self._metrics.responded(method, route, status, time.perf_counter() - started)

    def _refusal(self, headers: Headers, method: str) -> ASGIApp | None:
        # A page of another site may have its own name lead to this machine (DNS rebinding), or just send a form here.
        name = urlsplit(f"//{headers.get('host', '')}").hostname if _is_host(headers.get("host", "")) else None
        if self._names and name not in self._names:
            return told(
                HTTPStatus.MISDIRECTED_REQUEST,
                f"This service answers to {', '.join(sorted(self._names))}, and not to this name; start it with --name to add one.",
            )
        if method not in ("GET", "HEAD", "OPTIONS") and headers.get("sec-fetch-site") in ("cross-site", "same-site"):
            return told(HTTPStatus.FORBIDDEN, "Another site may not send anything here; open the service's own page.")
        return None


def _is_host(value: str) -> bool:
    try:
        urlsplit(f"//{value}").port  # noqa: B018  (asking is what checks it)
    except ValueError:
        return False
    return bool(value)
