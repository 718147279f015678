"""Async tasks: a thousand that wait at the same time, in a sync flow and in an async one."""

import asyncio
import time

from oxtask import flow, task


@task
async def ask(number: int) -> int:
    """Wait for an answer, as a call over the network would."""
    await asyncio.sleep(0.1)
    return number * number


@flow
def ask_all(count: int) -> int:
    """Map over async runs from plain code: they share event loops in other threads."""
    return sum(ask.map(range(count)).result())


@flow
async def ask_some(count: int) -> int:
    """Await runs on the event loop of the caller."""
    return sum(await asyncio.gather(*(ask(number) for number in range(count))))


def main() -> None:
    """Run both flows and print how long they took."""
    started = time.perf_counter()
    print(f"a sync flow: {ask_all(1000):,} in {time.perf_counter() - started:.2f} s")
    started = time.perf_counter()
    print(
        f"an async flow: {asyncio.run(ask_some(1000)):,} in {time.perf_counter() - started:.2f} s"
    )


if __name__ == "__main__":
    main()
