"""A site is published as a whole or not at all: when one step fails, all files are as before."""

import tempfile
from pathlib import Path

from oxtask import flow, task
from oxtask.logging import disable_run_logger
from oxtask.transactions import Transaction, get_transaction, transaction


@task
def write(path: Path, text: str) -> None:
    """Write a page, and remember what was there before."""
    txn = get_transaction()
    assert txn is not None
    txn.set("path", path)
    txn.set("before", path.read_text() if path.exists() else None)
    path.write_text(text)


@write.on_rollback
def restore(txn: Transaction) -> None:
    """Put back what was there before a page was written."""
    path, before = txn.get("path"), txn.get("before")
    if before is None:
        path.unlink(missing_ok=True)
        print(f"    {path.name} is removed")
    else:
        path.write_text(before)
        print(f"    {path.name} is as it was")


@write.on_commit
def announce(txn: Transaction) -> None:
    """Tell of a page; this is not done before all pages are there."""
    print(f"    {txn.get('path').name} is published")


@task
def check_links(folder: Path) -> None:
    """Raise an error if a page names one that is not there."""
    for page in folder.iterdir():
        for word in page.read_text().split():
            if word.endswith(".html") and not (folder / word).exists():
                raise ValueError(f"{page.name} names {word}, which is not there")


@flow
def publish(folder: Path, pages: dict[str, str]) -> None:
    """Write pages and check them, as one transaction."""
    with transaction():
        write.map([folder / name for name in pages], pages.values()).wait()
        check_links(folder)


def attempt(folder: Path, pages: dict[str, str]) -> None:
    """Publish pages, and print what happens and what is in the folder then."""
    print(f"publish {', '.join(pages)}:")
    try:
        with disable_run_logger():  # the error is printed below
            publish(folder, pages)
    except ValueError as error:
        print(f"    failed: {error}")
    for page in sorted(folder.iterdir()):
        print(f"  {page.name}: {page.read_text()}")


def main() -> None:
    """Publish a site, then a change with a broken link, then the change without it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        attempt(folder, {"index.html": "welcome"})
        attempt(folder, {"index.html": "see news.html", "blog.html": "see old.html"})
        attempt(folder, {"index.html": "see news.html", "news.html": "none"})


if __name__ == "__main__":
    main()
