"""Every tutorial becomes a notebook that runs with the library alone and says what the page says."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import nbformat
import pytest
from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "docs"))

from notebooks import FIRST, notebook_of, on_page_markdown  # noqa: E402

PAGES = sorted((ROOT / "docs").glob("*/tutorials/*.md"))
ENGLISH = [page for page in PAGES if page.parts[-3] == "en"]
ADDRESS = "https://example.org/why/tutorials/page/"
IN_A_PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda page: "/".join(page.parts[-3:]))


def made_from(page: Path) -> nbformat.NotebookNode:
    return notebook_of(page.read_text(encoding="utf-8"), language=page.parts[-3], address=ADDRESS)


def blocks_of(page: Path) -> list[tuple[str, str]]:
    """Options and code of every block of the page that is run, read by another parser than the hook's."""
    tokens = MarkdownIt("commonmark").parse(page.read_text(encoding="utf-8"))
    return [(token.info, token.content) for token in tokens if token.type == "fence" and 'exec="true"' in token.info]


def cells_of(notebook: nbformat.NotebookNode, kind: str) -> list[str]:
    return [cell.source for cell in notebook.cells if cell.cell_type == kind]


def test_there_are_tutorials():
    assert len(ENGLISH) >= 8


@IN_A_PAGE
def test_what_the_page_shows_is_a_cell_and_its_figures_are_shown(page):
    notebook = made_from(page)
    nbformat.validate(notebook)
    code = cells_of(notebook, "code")
    shown = [block.strip("\n") for options, block in blocks_of(page) if "source=" in options]
    assert [cell for cell in code if "display(" not in cell] == [FIRST, *shown]
    figures = [block for options, block in blocks_of(page) if "show_figure(\n" in block and "source=" not in options]
    assert sum(cell.count("display(") for cell in code) == len(figures)


@IN_A_PAGE
def test_nothing_in_a_notebook_needs_the_site(page):
    notebook = made_from(page)
    assert not any("page_tools" in cell or "show_figure" in cell for cell in cells_of(notebook, "code"))
    prose = "\n".join(cells_of(notebook, "markdown"))
    outside_code = re.sub(r"```.*?```|`[^`\n]*`", "", prose, flags=re.S)
    assert not re.search(r"\\[(\[]|\.md[)#]|\{ *#|exec=", outside_code)
    assert prose.count("\n# ") + prose.startswith("# ") == 1


@IN_A_PAGE
def test_no_block_is_longer_than_25_lines(page):
    assert [code for _options, code in blocks_of(page) if code.count("\n") > 25] == []


def test_the_same_page_gives_the_same_notebook():
    first, second = (nbformat.writes(made_from(ENGLISH[0])) for _ in range(2))
    assert first == second


def test_formulas_links_and_names_are_written_as_notebooks_write_them():
    page = (
        "# Title\n\nA **map**{ #map } \\(Wx\\), see [there](../explanations/a.md#b), [here](#c), [home](../index.md),\n"
        "[elsewhere](https://example.com/x.md), and `\\(code\\)`.\n\n\\[ y = 1 \\]\n"
    )
    text = notebook_of(page, address=ADDRESS).cells[0].source
    assert text == (
        "# Title\n\nA **map** $Wx$, see [there](https://example.org/why/explanations/a/#b), "
        f"[here]({ADDRESS}#c), [home](https://example.org/why/),\n"
        "[elsewhere](https://example.com/x.md), and `\\(code\\)`.\n\n$$\ny = 1\n$$"
    )


def test_without_an_address_links_to_pages_become_words():
    text = notebook_of("# Title\n\n[one](one.md) and [two](https://example.com)").cells[0].source
    assert text == "# Title\n\none and [two](https://example.com)"


def test_a_text_from_right_to_left_says_so():
    assert notebook_of("# عنوان", language="fa").cells[0].source == '<div dir="rtl">\n\n# عنوان\n\n</div>'


@pytest.mark.parametrize(
    "code",
    [
        "from page_tools import show_figure, run_command\nprint(show_figure(f, 'n', alt='a', caption='c'))",
        "from page_tools import show_figure\nx = show_figure(f, 'n', alt='a', caption='c')",
    ],
)
def test_a_block_that_needs_more_of_the_site_is_refused(code):
    with pytest.raises(ValueError, match="cannot go into a notebook"):
        notebook_of(f'# Title\n\n```python exec="true" html="true"\n{code}\n```\n')


def test_every_tutorial_links_to_its_notebook():
    class Page:
        class file:
            src_uri = "en/tutorials/one.md"

    assert on_page_markdown("# Title\n\nText.", Page).startswith(
        '# Title\n\n<p class="notebook"><a href="one.ipynb" download>Download'
    )
    Page.file.src_uri = "en/how-to/one.md"
    assert on_page_markdown("# Title\n\nText.", Page) == "# Title\n\nText."


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    """One Python for all notebooks, since most of the time goes into starting it."""
    from jupyter_client.manager import KernelManager

    folder = tmp_path_factory.mktemp("kernel")
    manager = KernelManager(kernel_name="python3", connection_file=str(folder / "connection.json"))
    manager.start_kernel(cwd=str(folder))
    yield manager
    manager.shutdown_kernel(now=True)
    manager.cleanup_resources()


@pytest.mark.slow
@pytest.mark.xdist_group("notebooks")
@pytest.mark.parametrize("page", ENGLISH, ids=lambda page: page.stem)
def test_the_notebook_runs_from_top_to_bottom(page, kernel):
    from nbclient import NotebookClient

    notebook = made_from(page)
    notebook.cells.insert(0, nbformat.v4.new_code_cell("%reset -f"))
    client = NotebookClient(notebook, km=kernel, timeout=120)
    try:
        client.execute()
    finally:
        client.kc.stop_channels()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "stream" and output.name == "stderr"]
    drawn = [output for output in outputs if "image/png" in output.get("data", {})]
    assert len(drawn) == sum(cell.count("display(") for cell in cells_of(notebook, "code"))
