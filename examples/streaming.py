"""Streams: a task over a source without an end. Results come while the source is still read."""

from collections.abc import Iterator
from itertools import count, islice

from oxtask import flow, task

pulled = 0


def numbers() -> Iterator[int]:
    """Count for ever, and remember how far."""
    global pulled  # noqa: PLW0603 - the example reports it
    for number in count(1):
        pulled = number
        yield number


@task
def largest_factor(number: int) -> int:
    """Return the largest divisor of a number that is not the number itself."""
    return next(number // low for low in range(2, number + 1) if number % low == 0)


@flow
def first_squares_of_primes(wanted: int) -> list[int]:
    """Return the first numbers whose largest divisor is their square root."""
    factors = largest_factor.stream((n for n in numbers() if n > 1), window=64)
    matches = (n for n, factor in enumerate(factors, start=2) if factor * factor == n)
    return list(islice(matches, wanted))


def main() -> None:
    """Print some answers, and how little of the endless source they took."""
    squares = first_squares_of_primes(8)
    print(f"squares of primes: {squares}")
    print(f"read ahead of the last: {pulled - squares[-1]} numbers")


if __name__ == "__main__":
    main()
