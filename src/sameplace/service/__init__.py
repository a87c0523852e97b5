"""An atlas over HTTP, with a page to ask it by: `sameplace serve`."""

from typing import TYPE_CHECKING, Any

from sameplace.service.settings import Settings

if TYPE_CHECKING:
    from sameplace.service.app import application
    from sameplace.service.server import address, bound, serve, serving
    from sameplace.service.service import Service

__all__ = ["Service", "Settings", "address", "application", "bound", "serve", "serving"]

_HOMES = {
    "Service": "service",
    "address": "server",
    "application": "app",
    "bound": "server",
    "serve": "server",
    "serving": "server",
}
_OPTIONAL = frozenset({"anyio", "fastapi", "prometheus_client", "pydantic", "python_multipart", "starlette", "uvicorn"})


def __getattr__(name: str) -> Any:
    """Fetch a name when it is first asked for; MissingExtra where the libraries of the service are not installed."""
    from importlib import import_module

    from sameplace.errors import MissingExtra

    if name not in _HOMES:
        raise AttributeError(f"module 'sameplace.service' has no attribute {name!r}")
    try:
        return getattr(import_module(f"sameplace.service.{_HOMES[name]}"), name)
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] not in _OPTIONAL:
            raise
        raise MissingExtra("Serving an atlas", "serve") from missing
