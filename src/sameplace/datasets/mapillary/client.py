"""Mapillary's API, version 4, as its documentation describes it and as it was seen to answer.

From https://www.mapillary.com/developer/api-documentation (the page and copies of it, of 2021 to 2026):
- Authentication: a token is sent as the header `Authorization: OAuth TOKEN`; one comes from mapillary.com/dashboard/developers.
- Image search: `/images?fields=...&bbox=minLon,minLat,maxLon,maxLat` with `start_captured_at`, `end_captured_at` (ISO 8601),
  `is_pano`, and `limit`, of which 2000 is the default and the maximum. A bbox must be smaller than 0.01 degrees square.
- Image: the fields asked for in image.py; `computed_*` are those after Mapillary's own processing; `captured_at` is in milliseconds
  since 1970; `thumb_1024_url`, `thumb_2048_url` and `thumb_original_url` lead to the pictures.
- Multiple entities: `/?ids=ID1,ID2`; Mapillary's own Python SDK allows 50 at once.
- Rate limits: 10,000 searches and 60,000 other requests a minute for an application (50,000 for all in earlier copies); beyond,
  requests fail with "Application request limit reached".
From https://blog.mapillary.com/update/2021/06/23/getting-started-with-the-new-mapillary-api-v4.html: addresses of pictures expire.

Not documented, but reported by several who use it: a search by bbox has no further pages (a search by contributor has); a crowded
box fails with HTTP 500 and "Please reduce the amount of data you're asking for", whatever the limit; an address that is blocked is
sent to a login page. Errors are those of Meta's Graph API: {"error": {"code": ..., "message": ...}}, 190 for a bad token, 4, 17,
32 and 613 for too many requests.
"""

import json
from collections.abc import Mapping, Sequence
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.parse import parse_qsl, quote, urlencode, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from sameplace._version import __version__
from sameplace.datasets.mapillary.area import Box
from sameplace.datasets.mapillary.image import ADDRESS, FIELDS, Size
from sameplace.datasets.mapillary.patience import Faulty, Gate, Patience, retry_after
from sameplace.errors import DatasetError

BASE_URL = "https://graph.mapillary.com"
MOST = 2000
"""Images that one search gives."""
AT_ONCE = 50
"""Images whose addresses are asked for together."""
PAGES = 100
ANSWER_LIMIT, PICTURE_LIMIT = 256_000_000, 128_000_000
TOKEN_CODES, BUSY_CODES, PASSING_CODES = (102, 190), (4, 17, 32, 613), (1, 2)
GET_TOKEN = "make a client token at https://www.mapillary.com/dashboard/developers and put it into MAPILLARY_TOKEN"


class Crowded(Exception):  # noqa: N818  (the way to ask for a smaller box)
    """A box holds more than a search gives."""


class Gone(Exception):  # noqa: N818  (addresses are meant to expire)
    """The address of a picture leads nowhere any more."""


class Client:
    """Asks Mapillary, politely, with the user's token, which appears in a header of requests to `base_url` and nowhere else.

    Once stopped, by `stop` or because a fetch has failed, it asks no more.
    """

    def __init__(self, token: str, *, base_url: str = BASE_URL, patience: Patience | None = None) -> None:
        token = token.strip()
        if not token or not token.isascii() or not token.isprintable() or " " in token:
            raise DatasetError(f"A token of Mapillary was wanted, a word like MLY|123|abc; {GET_TOKEN}.")
        self._token = token
        self.base_url = base_url.rstrip("/")
        self.patience = patience or Patience()
        self._api, self._pictures = Gate("Mapillary", self.patience), Gate("Mapillary's picture server", self.patience)
        self._asking, self._loading = build_opener(_NoRedirect), build_opener()

    def stop(self) -> None:
        """Call off all requests, those that wait among them."""
        self._api.stop()
        self._pictures.stop()

    def images(self, box: Box, filters: Mapping[str, str], *, attempts: int | None = None) -> tuple[list[dict[str, Any]], bool]:
        """What a search finds in a box, and whether there were further pages, which have all been read.

        Crowded where a smaller box must be asked for; Unreachable after so many attempts.
        """
        said: list[dict[str, Any]] = []
        parameters = {"fields": ",".join(FIELDS), "bbox": str(box), "limit": str(MOST), **filters}
        seen: list[str] = []
        while len(seen) < PAGES:
            answer = self._ask("/images", parameters, attempts)
            entries = answer.get("data")
            said += [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
            paging = answer.get("paging")
            further = self._further(paging.get("next") if isinstance(paging, dict) else None)
            if further is None or not entries or further in seen:
                break
            seen.append(further)
            parameters = dict(parse_qsl(further, keep_blank_values=True))
        return said, bool(seen)

    def addresses(self, ids: Sequence[str], size: Size) -> dict[str, str]:
        """Where the pictures of some images lie, for the next minutes; those that are no longer there are missing."""
        fields = {"fields": f"id,{ADDRESS[size]}"}
        try:
            answer = self._ask("/", {"ids": ",".join(ids), **fields})
        except RejectedError:
            if len(ids) == 1:
                return {}
            # One image that is gone makes the answer for all of them an error.
            return {name: address for each in ids for name, address in self.addresses([each], size).items()}
        found = {name: entry.get(ADDRESS[size]) for name, entry in answer.items() if isinstance(entry, dict)}
        return {name: address for name, address in found.items() if isinstance(address, str) and self._is_web(address)}

    def picture(self, address: str) -> bytes:
        """The bytes at an address, without the token; Gone where it has expired."""
        request = Request(address, headers={"User-Agent": user_agent()})  # addresses() gives web addresses alone

        def load() -> bytes:
            status, seconds, body = self._load(self._loading, request, self._pictures, PICTURE_LIMIT)
            if status in (400, 401, 403, 404, 410):
                raise Gone
            if status != 200:
                raise _faulty(status, f"HTTP {status}", seconds)
            return body

        return self._pictures.patiently(load)

    def _ask(self, path: str, parameters: Mapping[str, str], attempts: int | None = None) -> dict[str, Any]:
        url = f"{self.base_url}{path}?{urlencode(parameters, safe=',:')}"
        headers = {"Authorization": f"OAuth {self._token}", "User-Agent": user_agent(), "Accept": "application/json"}
        request = Request(url, headers=headers)

        def ask() -> dict[str, Any]:
            return self._judged(*self._load(self._asking, request, self._api, ANSWER_LIMIT))

        return self._api.patiently(ask, attempts)

    def _load(self, opener: Any, request: Request, gate: Gate, limit: int) -> tuple[int, float | None, bytes]:
        """Status, the seconds after which to come again, and body; Faulty where they cannot be had whole."""
        try:
            try:
                response = opener.open(request, timeout=self.patience.timeout)
            except HTTPError as error:
                response = error
            with response:
                return int(response.status), retry_after(response.headers.get("Retry-After")), _body(response, gate, limit)
        except (OSError, HTTPException) as error:  # no network, no name, no answer in time, cut off
            raise Faulty(self._without_token(_reason(error))) from None

    def _judged(self, status: int, seconds: float | None, body: bytes) -> dict[str, Any]:
        """The answer, or what its error means."""
        try:
            answer = json.loads(body)
        except (ValueError, RecursionError):
            answer = None
        error = answer.get("error") if isinstance(answer, dict) else None
        if 300 <= status < 400 or (status == 200 and not isinstance(answer, dict)):
            raise DatasetError(
                "Mapillary sends this computer to a login page instead of answering, which is how it blocks one that has asked too "
                "much; wait some hours and run the same command again."
            )
        if status == 200 and error is None:
            return dict(answer)
        error = error if isinstance(error, dict) else {}
        code, message = error.get("code"), self._without_token(str(error.get("message") or f"HTTP {status}"))
        if "reduce the amount of data" in f"{message} {error.get('error_user_msg', '')}":
            raise Crowded
        if status == 429 or code in BUSY_CODES:
            raise _faulty(429, message, seconds)
        if status == 401 or code in TOKEN_CODES or "access token" in message.lower():
            raise DatasetError(f"Mapillary does not accept the token ({message}); {GET_TOKEN}.")
        if status >= 500 or code in PASSING_CODES or error.get("is_transient") is True:
            raise _faulty(status, message, seconds)
        raise RejectedError(f"Mapillary refuses a request ({message}); look at its state, or for a newer sameplace.")

    def _further(self, url: Any) -> str | None:
        """The parameters of a further page, without the token that they may repeat; None for another server's."""
        if not isinstance(url, str) or urlsplit(url)[:2] != urlsplit(self.base_url)[:2]:
            return None
        return urlencode([pair for pair in parse_qsl(urlsplit(url).query) if pair[0] != "access_token"]) or None

    def _is_web(self, address: str) -> bool:
        """Whether an address may be followed: an encrypted one, or one like the base address; never a file."""
        return urlsplit(address).scheme in ("https", urlsplit(self.base_url).scheme)

    def _without_token(self, text: str) -> str:
        """One line of what a server says, which may repeat the token."""
        for secret in (self._token, quote(self._token, safe="")):
            text = text.replace(secret, "...")
        return " ".join(text.split())[:300]


class RejectedError(DatasetError):
    """A request that is wrong for reasons of its own."""


class _NoRedirect(HTTPRedirectHandler):
    """A request with a token goes nowhere else."""

    def redirect_request(self, req: Request, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> None:
        """Leave the redirection as the answer that it is."""


def user_agent() -> str:
    """Who asks."""
    return f"sameplace/{__version__}"


def _body(response: Any, gate: Gate, limit: int) -> bytes:
    """All that was announced: a connection may end early without a word."""
    parts, size = [], 0
    while part := response.read(1 << 16):
        gate.check()
        parts.append(part)
        size += len(part)
        if size > limit:
            raise Faulty(f"more than {limit // 1_000_000} MB")
    announced = response.headers.get("Content-Length")
    if announced is not None and announced.isdigit() and int(announced) != size:
        raise Faulty(f"{size:,} of {announced} bytes")
    return b"".join(parts)


def _faulty(status: int, reason: str, seconds: float | None) -> Faulty:
    return Faulty(reason, busy=status == 429 or (status == 503 and seconds is not None), seconds=seconds)


def _reason(error: Exception) -> str:
    return str(getattr(error, "reason", "") or getattr(error, "strerror", "") or error or type(error).__name__)
