"""`whyactivate activations`: the table of activations."""

from __future__ import annotations

from whyactivate.cli.console import AsJson, say, show_table, stdout, write_json


def activations(
    as_json: AsJson = False,
) -> None:
    """List the activations, with what is known about each."""
    from whyactivate.activations import ACTIVATIONS

    if as_json:
        write_json({
            "activations": [
                {
                    "name": each.name, "title": each.title, "sentence": each.sentence,
                    "range": None if each.range is None else {
                        "low": each.range.low, "high": each.range.high,
                        "low_reached": each.range.low_reached, "high_reached": each.range.high_reached,
                    },
                    "zero_centred": each.zero_centred, "saturates": each.saturates,
                    "piecewise_affine": each.piecewise_affine,
                }
                for each in ACTIVATIONS.values()
            ]
        })  # fmt: skip
        return
    yes_no = {True: "yes", False: "no", None: "?"}
    console = stdout()
    rows = tuple(
        (
            each.name,
            str(each.range),
            yes_no[each.zero_centred],
            yes_no[each.saturates],
            yes_no[each.piecewise_affine],
        )
        for each in ACTIVATIONS.values()
    )
    columns = ("name", "range", "zero-centred", "saturates", "piecewise affine")
    show_table(console, "Activations", columns, rows)
    for each in ACTIVATIONS.values():
        say(console, f"{each.name}: {each.sentence}")
