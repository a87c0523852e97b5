"""The rules of a training as flags: one for each field of `TrainConfig`, whose docstring is the flag's help."""

import ast
import inspect
from collections.abc import Mapping
from dataclasses import field, fields, make_dataclass, replace
from itertools import pairwise
from typing import Annotated, Any, get_type_hints

from cyclopts import Parameter

from sameplace.cli.names import UsageError
from sameplace.errors import TrainingError
from sameplace.training.config import PRESETS, TrainConfig

SUITED = "small"
"""The preset for photos of one's own."""


class _NotGiven:
    """Stands for a flag that was left out, as None is a value of some."""


class _Unchecked:
    """Where pydantic happens to be loaded, the command line lets it check flags once more; it knows nothing of those left out."""

    def __get_pydantic_core_schema__(self, _source: object, _handler: object) -> dict[str, str]:
        return {"type": "any"}


NOT_GIVEN = _NotGiven()


def explained() -> dict[str, str]:
    """The docstring of each field of the configuration."""
    (body,) = (node.body for node in ast.walk(ast.parse(inspect.getsource(TrainConfig))) if isinstance(node, ast.ClassDef))
    explained = {}
    for statement, following in pairwise(body):
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            assert isinstance(following, ast.Expr)
            assert isinstance(following.value, ast.Constant)
            explained[statement.target.id] = " ".join(str(following.value.value).split())
    return explained


def _default(name: str) -> str:
    """What holds without the flag: the paper's value, and that of the preset for photos of one's own where it is another."""
    papers, suited = getattr(TrainConfig(), name), getattr(PRESETS[SUITED], name)
    return _told(papers) if papers == suited else f"{_told(papers)}; {SUITED}: {_told(suited)}"


def _told(value: object) -> str:
    return (
        {None: "none", True: "yes", False: "no"}.get(value, str(value)) if value is None or isinstance(value, bool) else str(value)
    )


def _flag(name: str, kind: Any, told: str) -> tuple[str, Any, Any]:
    shown = _default(name)
    flag = Parameter(help=told, group="Rules", negative_none="no-", show_default=lambda _value: shown)
    return name, Annotated[kind, flag, _Unchecked()], field(default=NOT_GIVEN)


def _flags() -> type:
    hints, told = get_type_hints(TrainConfig), explained()
    made = make_dataclass("Rules", [_flag(one.name, hints[one.name], told[one.name]) for one in fields(TrainConfig)], kw_only=True)
    made.__module__ = __name__  # else it passes for one of Python's own types, which have no flags
    return made


Rules: Any = Annotated[_flags() | None, Parameter(name="*", help="The rules of the training.")]


def given(rules: object | None) -> dict[str, Any]:
    """The fields that flags were given for."""
    values: Mapping[str, Any] = {} if rules is None else vars(rules)
    return {name: value for name, value in values.items() if value is not NOT_GIVEN}


def configured(base: TrainConfig, rules: object | None) -> TrainConfig:
    """A configuration with the flags that were given; UsageError where it makes no sense."""
    try:
        return replace(base, **given(rules))
    except TrainingError as error:
        raise UsageError(str(error)) from error
