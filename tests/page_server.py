"""A small site on localhost, for programs that fetch pages."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

ORDERS = [
    {"id": 1, "country": "no", "amount": "1,200.50"},
    {"id": 2, "country": "SE ", "amount": "80"},
    {"id": 3, "country": "no", "amount": ""},
    {"id": 4, "country": "dk", "amount": "19.99"},
    {"id": 5, "country": "se", "amount": "0.01"},
    {"id": 6, "country": " No", "amount": "99.5"},
    {"id": 7, "country": "fi", "amount": "-3"},
]
PAGE_SIZE = 2
SITE = {
    "index": ("Home", "welcome to the site", ["a", "b"]),
    "a": ("First", "three words here", ["b", "c", "index"]),
    "b": ("Second", "two words", ["missing"]),
    "c": ("Third", "the end of it all", []),
}


class Handler(BaseHTTPRequestHandler):
    """Answers ``/orders?page=1`` with JSON and ``/site/index.html`` with HTML."""

    failed = False  # page 2 of the orders is not there the first time

    def do_GET(self):
        parts = urlsplit(self.path)
        if parts.path == "/orders":
            number = int(parse_qs(parts.query)["page"][0])
            if number == 2 and not self.server.failed:
                self.server.failed = True
                self.answer(503, "text/plain", "try again")
                return
            start = (number - 1) * PAGE_SIZE
            page = {"pages": -(-len(ORDERS) // PAGE_SIZE), "orders": ORDERS[start:][:PAGE_SIZE]}
            self.answer(200, "application/json", json.dumps(page))
            return
        name = parts.path.removeprefix("/site/").removesuffix(".html")
        if name not in SITE:
            self.answer(404, "text/plain", "not found")
            return
        title, text, links = SITE[name]
        anchors = "".join(f'<a href="{link}.html">{link}</a> ' for link in links)
        self.answer(200, "text/html", f"<title>{title}</title><p>{text}</p>{anchors}")

    def answer(self, status, kind, text):
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@contextmanager
def serving():
    """Serve the site, and yield its address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.failed = False
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
