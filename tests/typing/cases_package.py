"""What the package shows of itself: names, attributes, contexts (tasks.md 1, 6 and 32.6)."""

from __future__ import annotations

import logging

from typing_extensions import assert_type

import oxtask
from oxtask import flow, get_run_logger, tags, task
from oxtask import nothing as not_there  # type: ignore[attr-defined]


@task
def double(number: int) -> int:
    return 2 * number


@flow
def main() -> int:
    return double(1)


def names_that_do_not_exist_are_errors() -> None:
    """1.1"""
    print(oxtask.tsak, not_there)  # type: ignore[attr-defined]
    assert_type(oxtask.__version__, str)


def attributes_of_tasks_have_types() -> None:
    """6.1"""
    assert_type(double.name, str)
    assert_type(double.description, str | None)
    assert_type(double.tags, set[str])
    assert_type(double.retries, int)
    assert_type(double.timeout_seconds, float | None)
    assert_type(double.isasync, bool)
    assert_type(double.source_code, str | None)


def attributes_of_tasks_can_be_set() -> None:
    """6.5"""
    double.name = "twice"
    double.name = 2  # type: ignore[assignment]
    double.nmae = "twice"  # type: ignore[attr-defined]
    print(double.nmae)  # type: ignore[attr-defined]


def attributes_of_flows_have_types() -> None:
    """6.1"""
    assert_type(main.name, str)
    assert_type(main.version, str | None)
    assert_type(main.retry_delay_seconds, float)


def tags_are_a_context_and_a_decorator() -> None:
    """17.7"""
    with tags("a", "b") as all_tags:
        assert_type(all_tags, frozenset[str])

    @tags("a")
    def tagged(number: int) -> int:
        return number

    assert_type(tagged(1), int)
    tags(1)  # type: ignore[arg-type]


def run_loggers_are_loggers() -> None:
    """38.6"""
    logger = get_run_logger()
    logger.info("%d runs", 3)
    assert_type(logger.isEnabledFor(logging.INFO), bool)
