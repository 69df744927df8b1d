"""Makes a notebook of every tutorial, from the same Markdown; MkDocs loads this file as a hook.

What a page shows as code becomes a cell. What it hides is there for the page: a block that draws a figure becomes a
folded cell that shows the figure, and any other is left out. The notebook needs nothing but the library.
"""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urljoin

import nbformat
from nbformat import NotebookNode, v4

FOLDER = "tutorials"
WORDS = {"en": "Download this page as a notebook", "fa": "این درس را به‌صورت دفترچه (notebook) دریافت کنید"}
RIGHT_TO_LEFT = {"fa"}
FIRST = "# Where the library is missing, run this first: %pip install whyactivate\n%matplotlib inline"

BLOCK = re.compile(r'^```python (?P<options>[^\n]*exec="true"[^\n]*)\n(?P<code>.*?)^```$', re.M | re.S)
OUTSIDE_CODE = re.compile(r"(```.*?```|`[^`\n]*`)", re.S)
LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)\s]+)\)")
ATTRIBUTES = re.compile(r"\{ *[#.:][^}\n]*\}")


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Puts the link to the notebook under the title of a tutorial."""
    path = PurePosixPath(page.file.src_uri)
    if path.parent.name != FOLDER:
        return markdown
    link = f'<p class="notebook"><a href="{path.stem}.ipynb" download>{WORDS[path.parts[0]]}</a></p>'
    title, newline, rest = markdown.lstrip().partition("\n")
    return f"{title}{newline}\n{link}\n{rest}"


def on_post_page(output: str, page: Any, config: Any) -> str:
    """Writes the notebook of a tutorial beside the page."""
    path = PurePosixPath(page.file.src_uri)
    if path.parent.name == FOLDER:
        place = Path(page.file.abs_dest_path).parent / f"{path.stem}.ipynb"
        place.parent.mkdir(parents=True, exist_ok=True)
        address = urljoin(config.site_url, page.url) if config.site_url else None
        notebook = notebook_of(page.file.content_string, language=path.parts[0], address=address)
        place.write_text(nbformat.writes(notebook) + "\n", encoding="utf-8")
    return output


def notebook_of(markdown: str, *, language: str = "en", address: str | None = None) -> NotebookNode:
    """The notebook of a page: the same page gives the same notebook.

    Args:
        markdown: the source of the page.
        language: of its words.
        address: of the page on the web; where None, links to other pages become plain text.
    """
    cells = [v4.new_code_cell(FIRST)]
    end = 0
    for block in BLOCK.finditer(markdown):
        cells += _prose(markdown[end : block.start()], language, address)
        cells += _code(block["code"], shown="source=" in block["options"])
        end = block.end()
    cells += _prose(markdown[end:], language, address)
    title = cells.pop(1)
    cells.insert(0, title)
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return v4.new_notebook(cells=cells, metadata={"kernelspec": kernel, "language_info": {"name": "python"}})


def _prose(markdown: str, language: str, address: str | None) -> Iterator[NotebookNode]:
    """Text as a notebook writes it: formulas between dollars, links that lead somewhere, no names for styles."""
    if not markdown.strip():
        return
    parts = OUTSIDE_CODE.split(markdown.strip())
    parts[::2] = [_plain(part, address) for part in parts[::2]]
    text = "".join(parts)
    yield v4.new_markdown_cell(f'<div dir="rtl">\n\n{text}\n\n</div>' if language in RIGHT_TO_LEFT else text)


def _plain(text: str, address: str | None) -> str:
    text = re.sub(r"\\\[\s*(.*?)\s*\\\]", lambda found: f"$$\n{found[1]}\n$$", text, flags=re.S)
    text = re.sub(r"\\\((.*?)\\\)", lambda found: f"${found[1].strip()}$", text, flags=re.S)
    return LINK.sub(lambda found: _link(found[1], found[2], address), ATTRIBUTES.sub("", text))


def _link(words: str, aim: str, address: str | None) -> str:
    """A link to a page by its place on the web, as MkDocs serves it; links to elsewhere stay."""
    if "://" in aim:
        return f"[{words}]({aim})"
    if address is None:
        return words
    # The page is a folder on the web, and so is each page that it links to.
    path, _, anchor = aim.partition("#")
    path = re.sub(r"(index)?\.md(?=\?|$)", lambda found: "" if found[1] else "/", path)
    place = urljoin(address, f"../{path}") if path else address
    return f"[{words}]({place}{'#' + anchor if anchor else ''})"


def _code(code: str, *, shown: bool) -> Iterator[NotebookNode]:
    code = textwrap.dedent(code).strip("\n")
    if shown:
        yield v4.new_code_cell(code)
    elif "show_figure(" in code:
        yield v4.new_code_cell(_shows_figures(code), metadata={"jupyter": {"source_hidden": True}})


def _shows_figures(code: str) -> str:
    """The block with the figure itself and its caption in place of what makes HTML of them.

    Raises:
        ValueError: the block needs something of the site that a notebook does not have.
    """
    lines = code.split("\n")
    for statement in reversed(ast.parse(code).body):
        match statement:
            case ast.ImportFrom(module="page_tools", names=[ast.alias(name="show_figure")]):
                new: list[str] = []
            case ast.Expr(ast.Call(func=ast.Name("print"), args=[ast.Call(func=ast.Name("show_figure")) as figure])):
                caption = next(each.value for each in figure.keywords if each.arg == "caption")
                new = [
                    f"{does}({ast.unparse(what)})" for does, what in (("display", figure.args[0]), ("print", caption))
                ]
            case _:
                continue
        lines[statement.lineno - 1 : statement.end_lineno] = new
    made = "\n".join(lines).strip("\n")
    if "page_tools" in made or "show_figure" in made:
        raise ValueError(f"this block cannot go into a notebook, for it uses more than a printed show_figure:\n{code}")
    return made
