"""How many cores are used: the number that the user asks for, or what the system grants."""

import os
from pathlib import Path

import pytest

from sameplace import threads
from sameplace.threads import usable_cores


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
