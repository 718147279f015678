"""Count words in many texts at once, and put the counts together."""

from collections import Counter

from prefect import allow_failure, flow, task, unmapped
from prefect.futures import PrefectFuture, as_completed, wait
from prefect.task_runners import ThreadPoolTaskRunner

TEXTS = [
    "the quick brown fox",
    "jumps over the lazy dog",
    "the dog sleeps and the fox runs",
    "",
    "a dog a fox and a hen",
]


@task
def count_words(text: str, stop_words: set[str], minimum: int = 1) -> Counter:
    if not text:
        raise ValueError("no words")
    words = [word for word in text.split() if word not in stop_words]
    return Counter(word for word in words if len(word) >= minimum)


@task
def merge(counts: list) -> Counter:
    total = Counter()
    for count in counts:
        if isinstance(count, Exception):
            total["(failed)"] += 1
        else:
            total.update(count)
    return total


@task
def add(x: int, y: int) -> int:
    return x + y


@flow(task_runner=ThreadPoolTaskRunner(max_workers=4))
def word_count(texts: list[str]) -> dict[str, int]:
    counts = count_words.map(texts, stop_words=unmapped({"a", "and"}), minimum=2)
    done, not_done = wait(counts)
    print("done:", len(done), "not done:", len(not_done))
    print("states:", [future.state.name for future in counts])
    return dict(merge(allow_failure(counts)))


@flow
def sums(n: int) -> int:
    totals = add.map(range(n), range(n, 2 * n))
    print("pairs:", totals.result())
    seen = sorted(future.result() for future in as_completed(list(totals)))
    print("as completed:", seen)
    # A tree of sums: each level waits for the one below by its futures alone.
    level: list[PrefectFuture[int]] = list(totals)
    while len(level) > 1:
        odd = level[len(level) // 2 * 2 :]
        level = [add.submit(x, y) for x, y in zip(level[::2], level[1::2])] + odd
    return level[0].result(timeout=30)


if __name__ == "__main__":
    counted = word_count(TEXTS)
    for word in sorted(counted, key=lambda word: (-counted[word], word)):
        print(f"{word}: {counted[word]}")
    print("sum:", sums(7))
