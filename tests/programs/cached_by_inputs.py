"""Do not work out again what is known: cache keys from inputs, of one's own, and with an expiry."""

from collections import Counter
from datetime import timedelta

from prefect import flow, task
from prefect.cache_policies import INPUTS, NO_CACHE, TASK_SOURCE
from prefect.tasks import task_input_hash

calls = Counter()


@task(cache_policy=INPUTS, persist_result=True)
def square(x: int) -> int:
    calls["square"] += 1
    return x * x


@task(cache_key_fn=task_input_hash, cache_expiration=timedelta(minutes=5))
def cube(x: int) -> int:
    calls["cube"] += 1
    return x**3


@task(cache_policy=(INPUTS + TASK_SOURCE) - "verbose")
def root(x: float, verbose: bool = False) -> float:
    calls["root"] += 1
    return x**0.5


@task(cache_key_fn=lambda context, parameters: f"greeting-{parameters['name'].lower()}")
def greet(name: str) -> str:
    calls["greet"] += 1
    return f"hello {name}"


@task(cache_policy=NO_CACHE)
def fresh(x: int) -> int:
    calls["fresh"] += 1
    return x


@flow
def compute():
    print([square(x) for x in (2, 3, 2)], [square(2, return_state=True).name])
    print(cube(3), cube(3), cube(x=3))
    print(root(16.0), root(16.0, verbose=True), root(25.0))
    print(greet("Ada"), "/", greet("ADA"), "/", greet("Bob"))
    print(fresh(1), fresh(1))
    print(square.with_options(refresh_cache=True)(2))


if __name__ == "__main__":
    compute()
    for name in sorted(calls):
        print(f"{name}: {calls[name]}")
