"""Follow the links of a site, many pages at a time, from an async flow."""

import asyncio
import re
import sys
from urllib.parse import urljoin, urlsplit

from prefect import flow, task
from pydantic import BaseModel


class Page(BaseModel):
    path: str
    title: str
    links: list[str]
    words: int


async def get(url: str) -> str:
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    request = f"GET {parts.path or '/'} HTTP/1.0\r\nHost: {parts.hostname}\r\n\r\n"
    writer.write(request.encode())
    await writer.drain()
    answer = (await reader.read()).decode()
    writer.close()
    await writer.wait_closed()
    head, _, body = answer.partition("\r\n\r\n")
    status = int(head.split()[1])
    if status != 200:
        raise ValueError(f"{parts.path} has status {status}")
    return body


@task(retries=1, task_run_name="scrape {url}")
async def scrape(url: str) -> Page:
    html = await get(url)
    title = re.search(r"<title>(.*?)</title>", html)
    text = re.sub(r"<[^>]+>", " ", html)
    return Page(
        path=urlsplit(url).path,
        title=title.group(1) if title else "(none)",
        links=sorted(urljoin(url, link) for link in re.findall(r'href="([^"]+)"', html)),
        words=len(text.split()),
    )


@task
async def summarise(pages: list[Page]) -> str:
    await asyncio.sleep(0)
    return f"{len(pages)} pages, {sum(page.words for page in pages)} words"


@flow
async def crawl(start: str, depth: int = 3) -> str:
    seen, level, pages = {start}, [start], []
    for _ in range(depth):
        states = await asyncio.gather(*(scrape(url, return_state=True) for url in level))
        found = []
        for url, state in zip(level, states):
            if state.is_completed():
                found.append(await state.result())
            else:
                print(f"{urlsplit(url).path}: {state.name}: {state.message}")
        pages += found
        linked = {link for page in found for link in page.links}
        level = sorted(linked - seen)
        seen |= linked
        if not level:
            break
    for page in sorted(pages, key=lambda page: page.path):
        print(f"{page.path}: {page.title!r}, {len(page.links)} links")
    return await summarise(pages)


if __name__ == "__main__":
    print(asyncio.run(crawl(sys.argv[1] + "/site/index.html")))
