"""The page's own files, in memory: nothing is read from a disk because of what a client asks for."""

import hashlib
from http import HTTPStatus
from importlib.resources import files

from fastapi import APIRouter, Request, Response

from sameplace.service.problems import Refusal

KINDS = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "webmanifest": "application/manifest+json",
}
PAGE = "index.html"


def router() -> APIRouter:
    """The routes of the page."""
    contents = {
        file.name: file.read_bytes()
        for file in files("sameplace.service").joinpath("page").iterdir()
        if file.name.rpartition(".")[2] in KINDS
    }
    tags = {name: f'"{hashlib.sha256(content).hexdigest()[:32]}"' for name, content in contents.items()}
    routes = APIRouter(include_in_schema=False)

    def sent(request: Request, name: str) -> Response:
        if name not in contents:
            raise Refusal(HTTPStatus.NOT_FOUND, "The page has no such file.")
        headers = {"Cache-Control": "no-cache", "ETag": tags[name]}
        if request.headers.get("if-none-match") == tags[name]:
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        return Response(contents[name], media_type=KINDS[name.rpartition(".")[2]], headers=headers)

    @routes.get("/")
    def page(request: Request) -> Response:
        return sent(request, PAGE)

    @routes.get("/page/{name}")
    def asset(request: Request, name: str) -> Response:
        return sent(request, name)

    return routes
