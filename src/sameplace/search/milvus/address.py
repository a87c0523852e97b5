"""Where a collection on Milvus is, and which index it gets there."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

from sameplace.errors import AtlasError

SCHEMES = {"milvus": "http", "milvus+tls": "https"}
PORT = 19530
LITE_KINDS = ("FLAT", "HNSW", "IVF_FLAT", "IVF_SQ8")
"""What Milvus Lite builds. It accepts the others, too, and searches without them: its log alone tells."""


@dataclass(frozen=True, kw_only=True)
class IndexPlan:
    """An index of Milvus, and how it is asked."""

    kind: str
    built: Mapping[str, Any]
    asked: Mapping[str, Any]


# Segments hold about a million rows of 512 numbers, and each has an index of its own: so many lists suit that.
PLANS = {
    plan.kind: plan
    for plan in (
        IndexPlan(kind="FLAT", built={}, asked={}),
        IndexPlan(kind="HNSW", built={"M": 32, "efConstruction": 200}, asked={"ef": 256}),
        IndexPlan(kind="IVF_FLAT", built={"nlist": 1024}, asked={"nprobe": 64}),
        IndexPlan(kind="IVF_SQ8", built={"nlist": 1024}, asked={"nprobe": 64}),
        # One bit a number to find candidates, one byte a number to choose among ten times as many as are wanted.
        IndexPlan(
            kind="IVF_RABITQ",
            built={"nlist": 1024, "refine": True, "refine_type": "SQ8"},
            asked={"nprobe": 64, "rbq_query_bits": 0, "refine_k": 10},
        ),
        IndexPlan(kind="DISKANN", built={}, asked={"search_list": 200}),
    )
}


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where a collection is.

    >>> Address.parse("milvus://search.example:19530/town").uri
    'http://search.example:19530'
    >>> Address.parse("milvus:///home/ada/atlases.db/town").uri
    '/home/ada/atlases.db'
    """

    text: str
    """As it was given."""
    uri: str
    collection: str
    index: str | None
    """The kind of index for a new collection; chosen by what the server can do if not given."""

    @classmethod
    def parse(cls, text: str) -> "Address":
        """AtlasError where it is none."""
        parts = urlsplit(text)
        asked = parse_qs(parts.query)
        where, _, collection = parts.path.rpartition("/")
        wanted = "An atlas on Milvus is milvus://HOST:PORT/NAME, or milvus:///FOLDER/FILE.db/NAME for a file of Milvus Lite"
        try:
            port = parts.port or PORT
        except ValueError:
            raise AtlasError(f"{wanted}, and the port in {text} is no number; give one, or leave it out for {PORT}.") from None
        if parts.scheme not in SCHEMES or bool(parts.hostname) == bool(where) or parts.username:
            raise AtlasError(f"{wanted}, got {text}; a user's name and password go into SAMEPLACE_MILVUS_TOKEN.")
        if not re.fullmatch("[A-Za-z_][A-Za-z0-9_]{0,200}", collection):
            raise AtlasError(f"{wanted}, where NAME has letters, digits and _ alone, got {collection!r}; choose another name.")
        kind = asked.pop("index", [""])[0].upper() or None
        if asked or (kind is not None and kind not in PLANS):
            raise AtlasError(f"{wanted}, with ?index= and one of {', '.join(PLANS)} behind it if need be, got ?{parts.query}.")
        uri = where if where else f"{SCHEMES[parts.scheme]}://{parts.hostname}:{port}"
        if where and not uri.endswith(".db"):
            raise AtlasError(f"{wanted}, got {text}; let the name of the file end in .db, as Milvus Lite demands.")
        return cls(text=text, uri=uri, collection=collection, index=kind)

    @property
    def lite(self) -> bool:
        """Whether it is a file on this machine."""
        return "://" not in self.uri

    def plan(self, version: tuple[int, int]) -> IndexPlan:
        """The index of a new collection; AtlasError where this server would not build it."""
        if not self.lite:
            return PLANS[self.index or ("IVF_RABITQ" if version >= (2, 6) else "IVF_SQ8")]
        if self.index is not None and self.index not in LITE_KINDS:
            raise AtlasError(
                f"Milvus Lite builds {', '.join(LITE_KINDS)}, and {self.index} was wanted in {self.text}; use one of these, or a "
                f"server."
            )
        return PLANS[self.index or "FLAT"]


def is_address(where: object) -> bool:
    """Whether this means a collection on Milvus, and no folder.

    >>> is_address("milvus://localhost/town"), is_address("town.atlas")
    (True, False)
    """
    return isinstance(where, str) and where.partition("://")[0] in SCHEMES and "://" in where
