"""Draws the pictures that stand beside a link to the site: `python docs/social_card.py site`, once the site is built.

The picture in the card is the laboratory's own, of a network that it trained.
"""

from __future__ import annotations

import shutil
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from playwright.sync_api import sync_playwright

ASSETS = Path(__file__).parent / "assets"
RUN = "laboratory/?layers=relu-relu&steps=600"
WORDS = {
    "en": ("ltr", "Why do neural networks need activation functions?", "Train with and without, collapse, prove."),
    "fa": ("rtl", "شبکهٔ عصبی چرا به تابع فعال‌سازی نیاز دارد؟", "با آن و بی آن آموزش دهید، فروبکاهید، ثابت کنید."),
}
CARD = """<!doctype html><html lang="{language}" dir="{direction}"><meta charset="utf-8"><style>
@font-face {{ font-family: V; src: url(/assets/vazirmatn/Vazirmatn-NL.woff2); font-weight: 100 900 }}
* {{ margin: 0; box-sizing: border-box }}
body {{ display: grid; grid-template-columns: 1fr 510px; gap: 48px; align-items: center; width: 1200px; height: 630px;
  padding: 60px 64px; background: #fff; color: #1b1b1f; font: 400 36px/1.5 V, "Noto Sans", sans-serif }}
h1 {{ font-size: 58px; line-height: 1.28 }}
p {{ margin-top: 26px; color: #5d6169 }}
b {{ display: block; margin-top: 30px; color: #3f51b5; font-size: 30px }}
img {{ width: 510px; border: 2px solid #d9dce1; border-radius: 8px }}
</style><div><h1>{title}</h1><p>{text}</p><b>whyactivate</b></div><img alt="" src="{picture}">"""


def draw(site: str) -> None:
    """Writes docs/assets/social.<language>.png."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=site))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    home = f"http://127.0.0.1:{server.server_port}/"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1200, "height": 630}, device_scale_factor=2)
        page.goto(home + RUN)
        page.wait_for_function("document.querySelector('[data-value=steps]')?.textContent === '600'")
        page.wait_for_timeout(500)
        picture = page.locator(".lab-canvas").evaluate("canvas => canvas.toDataURL()")
        card = browser.new_page(viewport={"width": 1200, "height": 630})
        card.goto(home + "404.html")
        for language, (direction, title, text) in WORDS.items():
            html = CARD.format(language=language, direction=direction, title=title, text=text, picture=picture)
            card.set_content(html)
            card.evaluate("document.fonts.ready")
            card.wait_for_timeout(500)
            card.screenshot(path=ASSETS / f"social.{language}.png")
        browser.close()
    server.shutdown()


if __name__ == "__main__":
    draw(sys.argv[1])
