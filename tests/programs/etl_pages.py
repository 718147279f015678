"""Extract orders from a paginated HTTP service, clean them, and load them into SQLite."""

import json
import sqlite3
import sys
from urllib.request import urlopen

from prefect import flow, get_run_logger, task


@task(retries=2, retry_delay_seconds=0.1)
def fetch_page(base_url: str, page: int) -> dict:
    with urlopen(f"{base_url}/orders?page={page}", timeout=10) as response:
        return json.load(response)


@task
def clean(page: dict) -> list[tuple[int, str, float]]:
    rows = []
    for order in page["orders"]:
        amount = float(order["amount"].replace(",", "")) if order["amount"] else 0.0
        if amount > 0:
            rows.append((order["id"], order["country"].strip().upper(), amount))
    return rows


@task
def load(database: str, pages: list[list[tuple[int, str, float]]]) -> int:
    rows = [row for page in pages for row in page]
    with sqlite3.connect(database) as connection:
        connection.execute(
            "CREATE TABLE orders (id INTEGER PRIMARY KEY, country TEXT, amount REAL)"
        )
        connection.executemany("INSERT INTO orders VALUES (?, ?, ?)", rows)
        found = connection.execute(
            "SELECT country, COUNT(*), SUM(amount) FROM orders GROUP BY country ORDER BY country"
        ).fetchall()
    for country, number, total in found:
        print(f"{country}: {number} orders, {total:.2f}")
    return len(rows)


@flow(name="Orders ETL")
def orders_etl(base_url: str, database: str = ":memory:") -> int:
    logger = get_run_logger()
    first = fetch_page(base_url, 1)
    logger.info("There are %d pages", first["pages"])
    others = [fetch_page.submit(base_url, page) for page in range(2, first["pages"] + 1)]
    cleaned = clean.map([first, *others])
    return load(database, cleaned)


if __name__ == "__main__":
    print("loaded:", orders_etl(sys.argv[1]))
