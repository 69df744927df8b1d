"""Runs the laboratory's modules in headless Chromium, from a server of their own."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

LAB = Path(__file__).parents[2] / "docs" / "assets" / "lab"
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chrome")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine: apt-get install chromium")

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip

# What a module throws, and what it leaves in `window.result`, as text of the page.
PAGE = """<!doctype html><html lang="{language}"><meta charset="utf-8"><title>test</title><body>{body}
<script>
  window.problems = [];
  const note = (text) => window.problems.push(String(text));
  addEventListener("error", (event) => note(event.message));
  addEventListener("unhandledrejection", (event) => note(event.reason?.stack ?? event.reason));
  console.error = note;
</script>
<script type="module">{script}</script>"""

LAST = """
const out = document.createElement("pre");
out.id = "result";
out.textContent = JSON.stringify({ result: window.result ?? null, problems: window.problems });
document.body.append(out);
"""


class _Quiet(SimpleHTTPRequestHandler):
    extensions_map = SimpleHTTPRequestHandler.extensions_map | {".js": "text/javascript"}

    def log_message(self, format, *args):
        pass


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a server of the folder."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def run_in_browser(
    folder: Path, script: str, data: Any = None, *, body: str = "", query: str = "", language: str = "en"
) -> Any:
    """What the script left in `window.result`, after it ran beside the laboratory's modules in `./lab/`."""
    shutil.copytree(LAB, folder / "lab", dirs_exist_ok=True)
    (folder / "data.json").write_text(json.dumps(data), encoding="utf-8")
    guarded = f"{_imports(script)}\ntry {{ {_rest(script)} }} catch (error) {{ note(error.stack ?? error); }}{LAST}"
    page = PAGE.format(language=language, body=body, script=guarded)
    (folder / "page.html").write_text(page, encoding="utf-8")
    with served(folder) as address:
        command = [
            str(CHROMIUM), *FLAGS, f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=60000",
            "--dump-dom", f"{address}/page.html{query}",
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=300, check=True)
    found = re.search(r'<pre id="result">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, f"the page did not finish:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    answer = json.loads(html.unescape(found[1]))
    assert answer["problems"] == []
    return answer["result"]


def _imports(script: str) -> str:
    return "\n".join(line for line in script.splitlines() if line.startswith("import "))


def _rest(script: str) -> str:
    return "\n".join(line for line in script.splitlines() if not line.startswith("import "))
