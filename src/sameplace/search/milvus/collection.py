"""A collection on a Milvus server, or in a file of Milvus Lite: rows that are kept, filtered and searched there."""

import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

from sameplace.errors import AtlasError, MissingExtra
from sameplace.search.milvus.address import PLANS, Address
from sameplace.shapes import Array, Float16, Float32

OLDEST = (2, 5)
"""The first release whose columns may be empty."""
ROWS_AT_ONCE = 1000
BYTES_AT_ONCE = 16_000_000
"""A message holds 64 MB at most."""
PARTITIONS = 64
SEARCHED_AT_ONCE = 64
DESCRIPTOR = "descriptor"
SECONDS = 20.0
"""That a server may take to answer the first time."""

Row: TypeAlias = Mapping[str, Any]
Kind: TypeAlias = Literal["text", "number"]


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of a collection besides the descriptor."""

    name: str
    kind: Kind
    length: int = 64
    """Bytes of a text, at most."""
    key: Literal["primary", "partition"] | None = None
    optional: bool = False


class Collection:
    """A collection; AtlasError where the server does not answer or refuses. Adding a row again replaces it."""

    def __init__(self, address: Address, client: Any) -> None:
        """`client` is what `pymilvus.MilvusClient` is."""
        self.address = address
        self._client = client
        with self._telling():
            said = str(client.get_server_version())
        found = re.search(r"(\d+)\.(\d+)", said)
        self.version = (int(found[1]), int(found[2])) if found else OLDEST
        if not address.lite and self.version < OLDEST:
            raise AtlasError(
                f"Milvus {OLDEST[0]}.{OLDEST[1]} or newer was wanted at {address.uri}, got {said}; upgrade the server."
            )

    @classmethod
    def connect(cls, address: Address, token: str = "") -> "Collection":
        """Reach the server, or open the file. MissingExtra without pymilvus."""
        os.environ.setdefault("GRPC_VERBOSITY", "ERROR")  # or it tells each time that a process is started
        try:
            pymilvus: Any = import_module("pymilvus")
            if address.lite:
                import_module("milvus_lite")
        except ImportError as missing:
            raise MissingExtra(f"The atlas {address.text}", "milvus") from missing
        # What goes wrong is told by the error; Milvus Lite answers by grpc itself.
        for library in ("pymilvus", *(("milvus_lite", "grpc") if address.lite else ())):
            logging.getLogger(library).setLevel(logging.CRITICAL)
        if address.lite and not Path(address.uri).parent.is_dir():
            raise AtlasError(f"There is no folder {Path(address.uri).parent} for {Path(address.uri).name}; make it first.")
        with _telling(address):
            client = pymilvus.MilvusClient(address.uri, token=token, timeout=SECONDS)
        return cls(address, client)

    def close(self) -> None:
        """Give the server, or the file, back."""
        self._client.close()

    def exists(self) -> bool:
        """Whether the collection is there."""
        with self._telling():
            return bool(self._client.has_collection(self.address.collection))

    def load(self) -> None:
        """Have it answered from memory, which is nothing to do where it is so already."""
        with self._telling():
            self._client.load_collection(self.address.collection)

    @property
    def properties(self) -> dict[str, str]:
        """What was said of the collection."""
        with self._telling():
            return dict(self._client.describe_collection(self.address.collection)["properties"])

    def say(self, **properties: str) -> None:
        """Say something of the collection, for later."""
        with self._telling():
            self._client.alter_collection_properties(self.address.collection, properties=properties)

    def create(self, columns: Sequence[Column], dim: int, properties: Mapping[str, str]) -> None:
        """Make it, with descriptors of so many numbers, in half precision where the server can hold that."""
        kinds: Any = import_module("pymilvus").DataType
        types = {"text": kinds.VARCHAR, "number": kinds.DOUBLE}
        plan = self.address.plan(self.version)
        schema = self._client.create_schema(auto_id=False, enable_dynamic_field=False)
        for column in columns:
            schema.add_field(
                column.name,
                types[column.kind],
                **({"max_length": column.length} if column.kind == "text" else {}),
                **({f"is_{column.key}" + ("_key" if column.key == "partition" else ""): True} if column.key else {}),
                **({"nullable": True} if column.optional else {}),
            )
        schema.add_field(DESCRIPTOR, kinds.FLOAT_VECTOR if self.address.lite else kinds.FLOAT16_VECTOR, dim=dim)
        index = self._client.prepare_index_params()
        index.add_index(DESCRIPTOR, index_type=plan.kind, metric_type="IP", params=dict(plan.built))
        with self._telling():
            self._client.create_collection(
                self.address.collection,
                schema=schema,
                index_params=index,
                num_partitions=PARTITIONS,
                # Who adds and then asks hears of what was added, also another process.
                consistency_level="Strong",
                properties=dict(properties),
            )

    def add(self, rows: Sequence[Row], descriptors: Float16[Array, "rows dim"]) -> None:
        """Keep rows, in place of those with the same primary keys; they are safe when this returns."""
        numbers = descriptors.astype(np.float32) if self.address.lite else descriptors
        at_once = max(1, min(ROWS_AT_ONCE, BYTES_AT_ONCE // (numbers[:1].nbytes + 4096)))
        for first in range(0, len(rows), at_once):
            part = slice(first, first + at_once)
            with self._telling():
                self._client.upsert(
                    self.address.collection,
                    [{**row, DESCRIPTOR: line} for row, line in zip(rows[part], numbers[part], strict=True)],
                )

    def count(self, matching: str = "") -> int:
        """How many rows match, or are there."""
        with self._telling():
            return int(self._client.query(self.address.collection, filter=matching, output_fields=["count(*)"])[0]["count(*)"])

    def of(self, keys: Sequence[str], columns: Sequence[str]) -> list[Row]:
        """The rows with some primary keys, in any order; those that are not there are left out."""
        found: list[Row] = []
        for first in range(0, len(keys), ROWS_AT_ONCE):
            with self._telling():
                found += self._client.get(
                    self.address.collection, ids=list(keys[first : first + ROWS_AT_ONCE]), output_fields=list(columns)
                )
        return found

    def matching(self, wanted: str, columns: Sequence[str]) -> Iterator[list[Row]]:
        """The rows that match, part by part, in any order."""
        with self._telling():
            pages = self._client.query_iterator(
                self.address.collection, batch_size=ROWS_AT_ONCE, filter=wanted, output_fields=list(columns)
            )
        try:
            while True:
                with self._telling():
                    page = pages.next()
                if not page:
                    return
                yield list(page)
        finally:
            pages.close()

    def remove(self, keys: Sequence[str]) -> None:
        """Drop the rows with some primary keys."""
        for first in range(0, len(keys), ROWS_AT_ONCE):
            with self._telling():
                self._client.delete(self.address.collection, ids=list(keys[first : first + ROWS_AT_ONCE]))

    def search(self, queries: Float32[Array, "queries dim"], top: int, matching: str, columns: Sequence[str]) -> list[list[Row]]:
        """For each query the `top` most similar rows of those that match, as far as the index tells, with their descriptors."""
        kind = queries.dtype if self.address.lite else np.float16
        asked = dict(PLANS[self.kind].asked) if self.kind in PLANS else {}
        if "ef" in asked or "search_list" in asked:
            asked = {name: max(value, 2 * top) for name, value in asked.items()}
        found: list[list[Row]] = []
        for first in range(0, len(queries), SEARCHED_AT_ONCE):
            with self._telling():
                answers = self._client.search(
                    self.address.collection,
                    data=list(queries[first : first + SEARCHED_AT_ONCE].astype(kind)),
                    limit=top,
                    filter=matching,
                    output_fields=[*columns, DESCRIPTOR],
                    search_params={"metric_type": "IP", "params": asked},
                    anns_field=DESCRIPTOR,
                )
            found += [[hit["entity"] for hit in hits] for hits in answers]
        return found

    @property
    def kind(self) -> str:
        """The kind of its index."""
        with self._telling():
            return str(self._client.describe_index(self.address.collection, DESCRIPTOR)["index_type"])

    @contextmanager
    def _telling(self) -> Iterator[None]:
        with _telling(self.address):
            yield


def numbers(rows: Sequence[Row], dim: int) -> Float16[Array, "rows dim"]:
    """The descriptors of rows, however the server gives them."""
    lines = np.empty((len(rows), dim), np.float16)
    for line, row in zip(lines, rows, strict=True):
        given = row[DESCRIPTOR]
        if isinstance(given, list) and len(given) == 1 and isinstance(given[0], bytes):
            given = given[0]
        line[:] = np.frombuffer(given, np.float16) if isinstance(given, bytes) else given
    return lines


def quoted(text: str) -> str:
    r"""A text as filters have it.

    >>> print(quoted('say "ü"'))
    "say \"ü\""
    """
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


@contextmanager
def _telling(address: Address) -> Iterator[None]:
    """Tell in one sentence what Milvus says went wrong."""
    refused: Any = import_module("pymilvus").MilvusException
    try:
        yield
    except refused as error:
        why = " ".join(str(error.message).split())
        if address.lite and "local milvus failed" in why:
            cure = "one process at a time can open such a file: end the other one, or use a server."
        elif not address.lite and "connect" in why.lower():
            cure = "is the server running, and are its name and port right?"
        else:
            cure = "the server's log may tell more."
        raise AtlasError(f"Milvus cannot serve {address.text} ({why}); {cure}") from error
