"""The built site in a browser, as a reader with a fresh profile meets it."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, Response, sync_playwright

from browser.laboratory import CHROMIUM
from browser.waiting import PATIENCE
from docs.built import folder_of, site

__all__ = ["site"]

# Whatever asks for another host gets no answer, and is seen.
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]


class _Server(http.server.SimpleHTTPRequestHandler):
    """Serves the site in a folder, as a project's pages are; and at the root, where a page of errors expects it."""

    folder = "/whyactivate/"
    protocol_version = "HTTP/1.1"
    extensions_map = http.server.SimpleHTTPRequestHandler.extensions_map | {".js": "text/javascript"}

    def translate_path(self, path: str) -> str:
        return super().translate_path("/" + path.removeprefix(self.folder).lstrip("/"))

    def log_message(self, format, *args):
        pass


@pytest.fixture(scope="session")
def address(site) -> Iterator[str]:
    """Where the site is served."""
    if folder_of(site) != "/":
        _Server.folder = folder_of(site)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(_Server, directory=str(site)))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}{_Server.folder}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@dataclass
class Visit:
    """A page of the site, open, and what it did that a reader does not see."""

    page: Page
    home: str
    complaints: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)
    answers: list[Response] = field(default_factory=list)

    def __post_init__(self):
        self.page.on("console", lambda said: self.complaints.append(said.text) if said.type == "error" else None)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("response", lambda answer: self.answers.append(answer))
        self.page.on("request", lambda asked: self.look_at(asked.url))

    def look_at(self, url: str) -> None:
        if urlsplit(url).scheme in ("http", "https") and urlsplit(url).netloc != urlsplit(self.home).netloc:
            self.elsewhere.append(url)

    def go(self, path: str) -> None:
        self.page.goto(self.home + path, wait_until="load")


@pytest.fixture
def open_page(browser, address) -> Iterator[Callable[..., Visit]]:
    """Opens a page of the site in a context of its own: `open_page("fa/", color_scheme="dark")`."""
    contexts = []

    def open_now(path: str, **settings) -> Visit:
        settings = {"viewport": {"width": 1280, "height": 900}, "reduced_motion": "reduce"} | settings
        contexts.append(browser.new_context(**settings))
        contexts[-1].set_default_timeout(PATIENCE)
        visit = Visit(contexts[-1].new_page(), address)
        visit.go(path)
        return visit

    yield open_now
    for context in contexts:
        context.close()
