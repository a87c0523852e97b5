"""A Milvus server in memory that writes down what it is asked, checks requests as pymilvus sends them, and answers exactly."""

import numpy as np
import pytest

pytest.importorskip("pymilvus", reason="Milvus is an extra: pip install 'sameplace[milvus]'")
from pymilvus import MilvusClient, MilvusException
from pymilvus.client.prepare import Prepare

HALF = 102  # DataType.FLOAT16_VECTOR


def holds(wanted, row):
    """Whether a row fits a filter, whose language is so near to Python's that Python can tell."""
    names = {name: float("nan") if value is None else value for name, value in row.items()}
    return not wanted or bool(eval(wanted, {"__builtins__": {}}, names))


class FakeMilvus:
    """What the package asks of `pymilvus.MilvusClient`; calls are kept in `asked` as pairs of a name and its arguments."""

    create_schema = staticmethod(MilvusClient.create_schema)
    prepare_index_params = staticmethod(MilvusClient.prepare_index_params)

    def __init__(self, version="2.6.4"):
        self.version = version
        self.asked = []
        self.rows = {}
        self.made = None
        self.properties = {}
        self.refuses_after = None

    def get_server_version(self):
        return self.version

    def has_collection(self, name):
        return self.made is not None

    def describe_collection(self, name):
        return {"properties": self.properties}

    def describe_index(self, name, field):
        return {"index_type": next(iter(self.made["index_params"])).to_dict()["index_type"]}

    def alter_collection_properties(self, name, properties):
        self.properties |= properties

    def load_collection(self, name):
        assert self.made is not None

    def create_collection(self, name, **made):
        self.asked.append(("create_collection", made))
        Prepare.create_collection_request(name, made["schema"], num_partitions=made["num_partitions"])
        self.made, self.properties = made, dict(made["properties"])
        self.half = any(int(field.dtype) == HALF for field in made["schema"].fields)

    def upsert(self, name, rows):
        if self.refuses_after is not None and not self.refuses_after:
            raise MilvusException(message="the disk is full")
        self.refuses_after = None if self.refuses_after is None else self.refuses_after - 1
        self.asked.append(("upsert", len(rows)))
        fields = [field.to_dict() for field in self.made["schema"].fields]
        request = Prepare.row_upsert_param(name, rows, "", fields_info=fields)
        assert request.num_rows == len(rows)
        assert request.ByteSize() < 64_000_000
        self.rows |= {row["id"]: dict(row) for row in rows}

    def get(self, name, ids, output_fields):
        self.asked.append(("get", len(ids)))
        return [self._shown(self.rows[one], output_fields) for one in ids if one in self.rows]

    def query(self, name, filter, output_fields):
        assert output_fields == ["count(*)"]
        return [{"count(*)": sum(holds(filter, row) for row in self.rows.values())}]

    def query_iterator(self, name, batch_size, filter, output_fields):
        self.asked.append(("query_iterator", filter))
        return Pages([self._shown(row, output_fields) for row in self.rows.values() if holds(filter, row)], batch_size)

    def delete(self, name, ids):
        self.asked.append(("delete", ids))
        for one in ids:
            self.rows.pop(one, None)

    def search(self, name, data, limit, filter, output_fields, search_params, anns_field):
        self.asked.append(("search", {"limit": limit, "filter": filter, "search_params": search_params}))
        Prepare.search_requests_with_expr(
            name, anns_field, search_params, limit, data=data, expr=filter, output_fields=output_fields
        )
        assert all(one.dtype == (np.float16 if self.half else np.float32) for one in data)
        rows = [row for row in self.rows.values() if holds(filter, row)]
        answers = []
        for query in data:
            best = sorted(rows, key=lambda row: -float(row["descriptor"].astype(np.float32) @ query.astype(np.float32)))[:limit]
            answers.append([{"id": row["id"], "entity": self._shown(row, output_fields)} for row in best])
        return answers

    def close(self):
        pass

    def _shown(self, row, names):
        shown = {name: row[name] for name in {"id", *names}}
        if "descriptor" in shown:
            shown["descriptor"] = [shown["descriptor"].tobytes()] if self.half else shown["descriptor"].tolist()
        return shown


class Pages:
    def __init__(self, rows, size):
        self.rows, self.size = rows, size

    def next(self):
        page, self.rows = self.rows[: self.size], self.rows[self.size :]
        return page

    def close(self):
        pass
