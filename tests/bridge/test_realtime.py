"""Realtime priority goes to one thread, and to nothing that it starts."""

from __future__ import annotations

import os
import threading

import pytest

from sidekeys_bridge.realtime import request_realtime


def test_only_the_thread_that_asks_gets_it_and_what_it_starts_does_not():
    policies: dict[str, int] = {}
    granted: list[bool] = []

    def child() -> None:
        policies["child"] = os.sched_getscheduler(0)

    def asks() -> None:
        granted.append(request_realtime())
        policies["asks"] = os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK
        thread = threading.Thread(target=child)
        thread.start()
        thread.join()

    thread = threading.Thread(target=asks)
    thread.start()
    thread.join()
    assert granted == [policies["asks"] == os.SCHED_FIFO]
    assert policies["child"] == os.SCHED_OTHER
    assert os.sched_getscheduler(0) == os.SCHED_OTHER


def test_a_lower_priority_is_taken_where_a_high_one_is_refused(monkeypatch: pytest.MonkeyPatch):
    asked: list[int] = []

    def at_most_one(_thread: int, _policy: int, wanted: os.sched_param) -> None:
        asked.append(wanted.sched_priority)
        if wanted.sched_priority > 1:
            raise PermissionError

    monkeypatch.setattr(os, "sched_setscheduler", at_most_one)
    assert request_realtime(20)
    assert asked == [20, 1]


def test_where_it_is_refused_nothing_changes_and_nothing_is_raised(
    monkeypatch: pytest.MonkeyPatch,
):
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    assert request_realtime() is False


def test_a_system_without_such_priorities_says_no(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delattr(os, "sched_setscheduler")
    assert request_realtime() is False
