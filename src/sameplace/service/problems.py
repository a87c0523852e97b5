"""What a client is told when something is refused: one sentence as problem details (RFC 9457), and never a traceback or a path."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from sameplace.errors import ImageError, PositionError, SameplaceError

MEDIA_TYPE = "application/problem+json"
SENTENCES = {
    404: "There is nothing at this address; /api/openapi.json tells what there is.",
    405: "This address cannot be used in this way; /api/openapi.json tells how.",
}


class ProblemDetails(BaseModel):
    """Why a request was refused."""

    type: str = Field("about:blank", description="Always about:blank: the status tells the kind.")
    title: str = Field(description="The status in words.")
    status: int
    detail: str = Field(description="One sentence: what was wanted, what was got, and what to do.")


class Refusal(Exception):  # noqa: N818  (a refusal is what it is)
    """A request that is not carried out, with the sentence for its client."""

    def __init__(self, status: HTTPStatus, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.headers = headers


def busy(detail: str, seconds: int = 2) -> Refusal:
    """A refusal that asks to come again."""
    return Refusal(HTTPStatus.SERVICE_UNAVAILABLE, detail, {"Retry-After": str(seconds)})


def told(status: int, detail: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """A refusal as a response."""
    detail = f"{detail.rstrip('.')}."
    details = ProblemDetails(type="about:blank", title=HTTPStatus(status).phrase, status=status, detail=detail)
    return JSONResponse(details.model_dump(), status, dict(headers or {}), MEDIA_TYPE)


def documented(*statuses: HTTPStatus) -> dict[int | str, dict[str, Any]]:
    """The refusals of a route, for OpenAPI."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}}
    return {int(status): {"description": status.phrase, "content": content} for status in statuses}


def handle(app: FastAPI) -> None:
    """Let everything that goes wrong in an application end as problem details."""

    @app.exception_handler(Refusal)
    async def refused(_: Request, refusal: Refusal) -> JSONResponse:
        return told(refusal.status, str(refusal), refusal.headers)

    @app.exception_handler(RequestValidationError)
    async def misused(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"][1:]) or "the request"
        return told(
            422,
            f"{first['msg']} was wanted of {where}, got {str(first.get('input'))[:100]!r}.".replace(
                "Input should be", "A value that is"
            ),
        )

    @app.exception_handler(HTTPException)
    async def failed(_: Request, error: HTTPException) -> JSONResponse:
        return told(error.status_code, SENTENCES.get(error.status_code, f"{error.detail}."), error.headers)

    @app.exception_handler(ImageError)
    @app.exception_handler(PositionError)
    async def unfit(_: Request, error: SameplaceError) -> JSONResponse:
        return told(422, str(error))

    @app.exception_handler(SameplaceError)
    async def unable(_: Request, error: SameplaceError) -> JSONResponse:
        return told(503, str(error), {"Retry-After": "5"})

    @app.exception_handler(Exception)
    async def broken(_: Request, __: Exception) -> JSONResponse:
        return told(500, "Something went wrong inside the service, which has written down what; ask those who run it.")
