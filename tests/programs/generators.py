"""Tasks that yield: read a long source piece by piece, and hand the pieces on."""

import asyncio

from prefect import flow, task


@task
def read_chunks(n: int, size: int):
    chunk = []
    for number in range(n):
        chunk.append(number)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
    return "end of source"


@task
def total(chunk: list[int]) -> int:
    return sum(chunk)


@task(retries=1)
def stutter(failures: list[str]):
    yield 1
    yield 2
    if not failures:
        failures.append("once")
        raise ConnectionError("lost")
    yield 3


@task
async def countdown(start: int):
    while start:
        await asyncio.sleep(0)
        yield start
        start -= 1


@task
def with_ending(log: list[str]):
    try:
        yield "first"
        yield "second"
    finally:
        log.append("closed")


@flow
def stream(n: int) -> int:
    print([total(chunk) for chunk in read_chunks(n, 4)])
    futures = [total.submit(chunk) for chunk in read_chunks(n, 3)]
    print([future.result() for future in futures])

    chunks = read_chunks(2, 5)
    next(chunks)
    try:
        next(chunks)
    except StopIteration as stop:
        print("returned:", stop.value)

    print(list(stutter([])))
    print("submitted:", read_chunks.submit(5, 2).result())

    log = []
    early = with_ending(log)
    print(next(early))
    early.close()
    print(log)
    return sum(total.map(read_chunks(n, 2)).result())


@flow
async def async_stream() -> list[int]:
    return [number async for number in countdown(4)]


if __name__ == "__main__":
    print("sum:", stream(10))
    print(asyncio.run(async_stream()))
