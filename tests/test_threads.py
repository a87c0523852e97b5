"""How many cores are used: the number that the user asks for, or what the system grants."""

import os
from pathlib import Path

import pytest

from sameplace import threads
from sameplace.threads import nodes, stay_on_a_node, usable_cores


@pytest.fixture
def granted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Sixteen cores, and an empty folder where the control group would tell its limit."""
    quota = threads._quota
    monkeypatch.delenv("SAMEPLACE_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)), raising=False)
    monkeypatch.setattr(threads, "_quota", lambda: quota(tmp_path))
    return tmp_path


def first_version(folder: Path, quota: str, period: str) -> None:
    (folder / "cpu").mkdir()
    (folder / "cpu" / "cpu.cfs_quota_us").write_text(quota)
    (folder / "cpu" / "cpu.cfs_period_us").write_text(period)


def test_the_user_has_the_last_word(granted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (granted / "cpu.max").write_text("200000 100000\n")
    monkeypatch.setenv("SAMEPLACE_THREADS", "40")
    assert usable_cores() == 40


@pytest.mark.parametrize("text", ["", "0", "-2", "many", "1.5", "\u00b2"])
def test_what_is_no_number_of_threads_is_passed_over(text: str, granted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMEPLACE_THREADS", text)
    assert usable_cores() == 16


def test_without_a_limit_all_cores_of_the_process_are_used(granted: Path) -> None:
    assert usable_cores() == 16


def test_where_processes_are_not_bound_to_cores_all_of_the_machine_are_used(granted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert usable_cores() == 6
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert usable_cores() == 1


@pytest.mark.parametrize(
    ("limit", "cores"),
    [("400000 100000", 4), ("250000 100000", 2), ("50000 100000", 1), ("9900000 100000", 16), ("max 100000", 16)],
)
def test_a_control_group_grants_its_whole_cores_and_at_least_one(limit: str, cores: int, granted: Path) -> None:
    (granted / "cpu.max").write_text(limit + "\n")
    assert usable_cores() == cores


@pytest.mark.parametrize(("quota", "cores"), [("300000\n", 3), ("10000\n", 1), ("-1\n", 16)])
def test_the_first_version_of_control_groups_is_understood(quota: str, cores: int, granted: Path) -> None:
    first_version(granted, quota, "100000\n")
    assert usable_cores() == cores


@pytest.mark.parametrize("content", [b"", b"max", b"1 2 3", b"few many", b"100000 0", b"\xff\xfe 1", b"-5 100000"])
def test_a_limit_that_cannot_be_read_is_none(content: bytes, granted: Path) -> None:
    (granted / "cpu.max").write_bytes(content)
    assert usable_cores() == 16


@pytest.mark.parametrize(("quota", "period"), [("", ""), ("few", "100000"), ("300000", "0")])
def test_a_limit_of_the_first_version_that_cannot_be_read_is_none(quota: str, period: str, granted: Path) -> None:
    first_version(granted, quota, period)
    assert usable_cores() == 16


def machine(folder: Path, *lists: str) -> Path:
    for number, listed in enumerate(lists):
        (folder / f"node{number}").mkdir()
        (folder / f"node{number}" / "cpulist").write_text(listed)
    return folder


def test_the_cores_of_each_memory_node_are_those_that_the_process_may_use(granted: Path) -> None:
    assert nodes(machine(granted, "0-3,8-9\n", "4-7,16-31\n")) == (frozenset({0, 1, 2, 3, 8, 9}), frozenset({4, 5, 6, 7}))


@pytest.mark.parametrize("lists", [(), ("0-15\n",), ("0-15\n", "\n"), ("0-15\n", "16-31\n"), ("0-7", "few")])
def test_where_there_is_one_node_or_none_is_told_threads_stay_where_they_are(
    lists: tuple[str, ...], granted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bound: list[object] = []
    monkeypatch.setattr(os, "sched_setaffinity", lambda *given: bound.append(given), raising=False)
    assert nodes(machine(granted, *lists)) == ()
    stay_on_a_node(0, granted)
    assert bound == []


def test_threads_are_dealt_to_the_nodes_by_turns_and_a_refusal_costs_nothing(
    granted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(granted, "0-7\n", "8-15\n")
    bound: list[list[int]] = []
    monkeypatch.setattr(os, "sched_setaffinity", lambda _, cores: bound.append(sorted(cores)), raising=False)
    for turn in range(3):
        stay_on_a_node(turn, granted)
    assert bound == [list(range(8)), list(range(8, 16)), list(range(8))]

    def refuse(_: int, cores: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "sched_setaffinity", refuse, raising=False)
    stay_on_a_node(0, granted)
