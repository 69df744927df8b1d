"""The built site, for the tests that look at it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

ROOT = Path(__file__).parents[2]
BUILT = os.environ.get("BUILT_SITE")


def site_group(number: int = 0) -> pytest.MarkDecorator:
    """Tests of one group share a worker: one builds the site; what is built already, two may look at."""
    return pytest.mark.xdist_group(f"site-{number % 2}" if BUILT else "site")


def build(folder: Path) -> Path:
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    made = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    return folder


def folder_of(site: Path) -> str:
    """Where on its host the site will be served, as SITE_URL said when it was built; "/" where it said nothing."""
    home = re.search(r"<loc>(.*?)</loc>", (site / "sitemap.xml").read_text(encoding="utf-8"))
    return urlsplit(home[1]).path if home and "://" in home[1] else "/"


@pytest.fixture(scope="session")
def site(tmp_path_factory) -> Path:
    """The site, built now; or that in the folder BUILT_SITE, where somebody has just built it."""
    return Path(BUILT) if BUILT else build(tmp_path_factory.mktemp("site"))
