"""What two languages need of the site: the same anchors in both, named in each, and links from each page to its twin.

MkDocs loads this file as a hook.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from markdown.extensions.toc import slugify
from mkdocs.plugins import event_priority

ORIGINAL = "en"
ANCHOR = {"fa": "پیوند به این بخش"}
SHORT_CODE = re.compile(r"(?<!<pre>)(?<!</span>)<code>([^<]{1,28})</code>")
# A formula, or code and where it leads, with the brackets and marks around it.
MARKED = re.compile(
    r'([(«]*)(<span class="arithmatex">[^<]*</span>|(?:<a\b[^>]*>)?<code\b[^>]*>[^<]*</code>(?:</a>)?)([،؛؟»)!.,:;?]*)'
)
HEADING = re.compile(r"(#{1,6}) +(.+?)(?: *\{ *#([\w-]+)[^}]*\})? *#*")
FENCE = re.compile(r" *(```|~~~)")
MARKUP = re.compile(r"\]\([^)]*\)|[`*\[\]]")


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Gives the headings of a translation the anchors of the original: links into a page are the same in both."""
    language, _slash, path = page.file.src_uri.partition("/")
    twin = Path(page.file.abs_src_path).parents[path.count("/") + 1] / ORIGINAL / path
    if language == ORIGINAL or not twin.is_file():
        return markdown
    anchors = [anchor for _line, _text, anchor in headings_of(twin.read_text(encoding="utf-8"))]
    lines = markdown.splitlines()
    for (line, text, own), anchor in zip(headings_of(markdown), anchors, strict=False):
        if own == anchor_of(text):
            lines[line] += f" {{ #{anchor} }}"
    return "\n".join(lines)


def on_page_content(html: str, page: Any, config: Any, **_: Any) -> str:
    """No short name is torn in two, no mark from its formula; in a translation, a heading's mark has its name."""
    html = MARKED.sub(whole, SHORT_CODE.sub(r'<code class="short">\1</code>', html))
    language = page.file.src_uri.partition("/")[0]
    if language == ORIGINAL:
        return html
    said = config.mdx_configs["toc"]["permalink_title"]
    return html.replace(f'title="{said}"', f'title="{ANCHOR[language]}"')


def whole(found: re.Match[str]) -> str:
    """What a line ends before or after, but not within: a line may end beside each formula, whatever stands there."""
    return f'<span class="whole">{found[0]}</span>' if found[1] or found[3] else found[0]


@event_priority(-50)
def on_page_context(context: Any, page: Any, config: Any, **_: Any) -> None:
    """Links each page to its twin from where the page is: the site may be served from any folder."""
    for alternate in config.extra.get("alternate", []):
        twin = page.file.alternates.get(alternate["lang"])
        if twin is not None:
            alternate["link"] = twin.url


def on_post_template(output_content: str, template_name: str, config: Any) -> str:
    """There is one page for addresses that lead nowhere; the original's frame is around it."""
    return "" if template_name == "404.html" and config.theme["language"] != ORIGINAL else output_content


def headings_of(markdown: str) -> list[tuple[int, str, str]]:
    """The headings that stand in the source, in order: line, text, anchor."""
    found: list[tuple[int, str, str]] = []
    fence = ""
    for number, line in enumerate(markdown.splitlines()):
        mark = FENCE.match(line)
        if mark and fence in ("", mark[1]):
            fence = "" if fence else mark[1]
        heading = HEADING.fullmatch(line) if not fence else None
        if heading:
            found.append((number, heading[2], heading[3] or anchor_of(heading[2])))
    return found


def anchor_of(text: str) -> str:
    """The name at which MkDocs lets a heading be entered."""
    return slugify(MARKUP.sub("", text), "-")
