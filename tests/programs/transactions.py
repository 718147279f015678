"""All or nothing: write files in a transaction, and take them back if what follows fails."""

import tempfile
from pathlib import Path

from prefect import flow, task
from prefect.transactions import get_transaction, transaction


@task
def write(path: Path, text: str) -> Path:
    path.write_text(text)
    get_transaction().set("path", path)
    return path


@write.on_rollback
def remove(txn) -> None:
    path = txn.get("path")
    print("removing", path.name)
    path.unlink()


@write.on_commit
def confirm(txn) -> None:
    print("committed", txn.get("path").name)


@task
def check(path: Path, least: int) -> None:
    if len(path.read_text()) < least:
        raise ValueError(f"{path.name} is too short")


@flow
def publish(folder: Path, text: str) -> None:
    with transaction():
        path = write(folder / "page.txt", text)
        check(path, 10)


@flow
def publish_all(folder: Path) -> None:
    with transaction() as outer:
        outer.set("author", "Ada")
        first = write(folder / "one.txt", "one")
        with transaction() as inner:
            print("author:", inner.get("author"))
            write(folder / "two.txt", "two")
        print("written:", sorted(path.name for path in folder.iterdir()))
        check(first, 100)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        publish(folder, "long enough to stay")
        print(sorted(path.name for path in folder.iterdir()))
        state = publish(folder, "short", return_state=True)
        print(state.type.value, sorted(path.name for path in folder.iterdir()))
        state = publish_all(folder, return_state=True)
        print(state.type.value, sorted(path.name for path in folder.iterdir()))
