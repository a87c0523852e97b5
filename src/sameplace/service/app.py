"""The service as an ASGI application: any server can run it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from anyio import to_thread
from fastapi import FastAPI

from sameplace._version import __version__
from sameplace.service import assets, comparing, reading, walking, writing
from sameplace.service.gate import Gate
from sameplace.service.problems import ProblemDetails, handle
from sameplace.service.service import Service

ABOUT = """Tells where photos were taken by recognising the place. Refusals are problem details (RFC 9457) with one sentence.
Photos have opaque names; no address and no field ever takes a path."""


def application(service: Service) -> Gate:
    """The application of a started service, which it closes in the end."""

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        yield
        await to_thread.run_sync(service.close)

    app = FastAPI(
        title="sameplace",
        version=__version__,
        description=ABOUT,
        lifespan=life,
        openapi_url="/api/openapi.json",
        docs_url=None,  # these pages would come from other people's servers
        redoc_url=None,
    )
    app.state.service = service
    handle(app)
    for router in (reading.free, reading.router, comparing.router, walking.router, writing.router, assets.router()):
        app.include_router(router)
    _describe_problems(app)
    return Gate(app, service.settings, service.metrics)


def _describe_problems(app: FastAPI) -> None:
    """Let OpenAPI know the form of refusals."""
    written = app.openapi

    def openapi() -> dict[str, Any]:
        schema = written()
        schema["components"]["schemas"]["ProblemDetails"] = ProblemDetails.model_json_schema()
        return schema

    app.openapi = openapi  # type: ignore[method-assign]  # as FastAPI's documentation does it
