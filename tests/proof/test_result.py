from __future__ import annotations

import json

from whyactivate.proof.result import Proof

PROOF = Proof("exact", "1 < 2 & so on", True, ("look", "see"), {"entries": [1, 2], "error": 0.12345, "route": "a"})


def test_a_proof_prints_its_verdict_steps_and_numbers() -> None:
    assert str(PROOF).splitlines() == [
        "exact proof: holds",
        "  1 < 2 & so on",
        "  1. look",
        "  2. see",
        "  entries  [1, 2]",
        "  error    0.123",
        "  route    a",
    ]
    assert "does NOT hold" in str(Proof("exact", "1 > 2", False))


def test_html_is_escaped() -> None:
    html = PROOF._repr_html_()
    assert "1 &lt; 2 &amp; so on" in html
    assert "<li>look</li>" in html


def test_a_proof_is_plain_data() -> None:
    assert json.loads(json.dumps(PROOF.to_dict()))["details"] == {"entries": [1, 2], "error": 0.12345, "route": "a"}
