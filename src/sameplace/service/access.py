"""Who may read and who may write: the bearer of the token."""

import hmac
from http import HTTPStatus
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from sameplace.service.changes import Changes
from sameplace.service.problems import Refusal
from sameplace.service.service import Service

BEARER = HTTPBearer(auto_error=False, description="The token that the service was started with.")
Shown = Annotated[HTTPAuthorizationCredentials | None, Depends(BEARER)]


def served(request: Request) -> Service:
    """The service that a request came to."""
    service: Service = request.app.state.service
    return service


Served = Annotated[Service, Depends(served)]


def may_read(service: Served, shown: Shown) -> None:
    """Refuse those who may not read."""
    if service.settings.private:
        _check(service.settings.token, shown)


def may_write(service: Served, shown: Shown) -> Changes:
    """What changes the atlas, for those who may write."""
    if service.changes is None:
        raise Refusal(
            HTTPStatus.FORBIDDEN, "Nobody may add or remove photos here; those who run the service can start it with a token."
        )
    _check(service.settings.token, shown)
    return service.changes


MayWrite = Annotated[Changes, Depends(may_write)]


def _check(token: str | None, shown: HTTPAuthorizationCredentials | None) -> None:
    if token is None or shown is None or not hmac.compare_digest(shown.credentials.encode(), token.encode()):
        got = "none came" if shown is None else "another one came"
        raise Refusal(
            HTTPStatus.UNAUTHORIZED,
            f"The token of the service was wanted as `Authorization: Bearer TOKEN`, and {got}.",
            {"WWW-Authenticate": "Bearer"},
        )
