"""Sleepers on the default runner, and retries with a delay on two workers."""


def test_sleepers(do):
    do("oxtask", "sleepers", 1_000, seconds=0.1)


def test_retries(do):
    do("oxtask", "retries", 10_000, seconds=0.1)
