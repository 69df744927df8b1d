"""What a result says, draws, writes, and reads again."""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from matplotlib import pyplot

import whyactivate as wa
from comparison_networks import tiny
from whyactivate.comparison import ComparisonResult, Estimate, Member, Place, compare, words
from whyactivate.comparison.member import COLUMNS
from whyactivate.plots import describe_comparison, svg_of

CONFIG = wa.TrainConfig(epochs=4, batch_size=5)


@pytest.fixture(scope="module")
def result() -> ComparisonResult:
    return compare(tiny(classes=2, rows=30), seeds=6, hidden=(4,), config=CONFIG, keep_weights=True)


def made(losses: dict[str, list[float]], floor: float = 0.5) -> ComparisonResult:
    """A result with these losses, as if somebody had trained for them."""
    places = tuple(Place(name, (4,), "default", 0.001) for name in losses)
    members = tuple(
        Member(
            place, seed, "diverged" if math.isinf(value) else "finished", 9, min(value, 1e9), min(value, 1e9), None,
            None, 3 if value <= floor else None, floor, floor + 0.1,
        )
        for place in places for seed, value in enumerate(losses[place.activation])
    )  # fmt: skip
    count = len(next(iter(losses.values())))
    return ComparisonResult(
        "made", wa.Task.REGRESSION, {-1: "0"}, CONFIG, "float32", (3, 1), places, tuple(range(count)), members
    )


def flat(result: ComparisonResult) -> str:
    """What it prints, whatever the line breaks."""
    return " ".join(str(result).split())


class TestWords:
    def test_the_table_ends_with_the_linear_floor(self, result: ComparisonResult):
        columns, rows = result.table()
        assert columns[:3] == ("", "train loss", "test loss")
        assert [row[0] for row in rows] == [
            "no activation", "ReLU", "Sigmoid", "Tanh", "Leaky ReLU", "linear floor",
        ]  # fmt: skip
        assert float(rows[-1][1]) == pytest.approx(result.members[0].floor, rel=1e-3)
        assert {len(row) for row in rows} == {len(columns)}
        losses = {cell.split(" [")[0] for row in rows for cell in row[1:3]}
        assert {len(loss.replace(".", "").lstrip("0")) for loss in losses} == {3}
        text = str(result)
        assert "linear floor" in text
        assert "none of 6 networks went below the linear floor" in flat(result)
        assert repr(result) == "<ComparisonResult: tiny: 30 networks, 5 activations, 6 seeds>"
        assert "<table>" in result._repr_html_()

    def test_prints_in_eighty_columns_and_loses_nothing(self, result: ComparisonResult):
        text = str(result)
        assert max(map(len, text.splitlines())) <= 78
        columns, rows = result.table()
        for cell in (*columns, *(cell for row in rows for cell in row)):
            assert cell in text

    @pytest.mark.parametrize("width", [10, 40, 78, 1000])
    def test_a_wide_table_is_cut_between_columns(self, result: ComparisonResult, width: int):
        columns, rows = result.table()
        parts = words.split(columns, rows, width)
        assert [name for head, *_ in parts for name in head[1:]] == list(columns[1:])
        assert all(row[0] == whole[0] for part in parts for row, whole in zip(part[1:], rows, strict=True))
        widths = [max(map(len, words.align(part))) for part in parts]
        assert all(wide <= width for wide, part in zip(widths, parts, strict=True) if len(part[0]) > 2)
        assert (len(parts) == 1) == (width == 1000)

    def test_no_bare_winner_where_intervals_overlap(self):
        near = made({"identity": [0.60, 0.61, 0.62, 0.63, 0.64, 0.65], "relu": [0.6, 0.605, 0.61, 0.62, 0.63, 0.7]})
        assert set(near.lowest()) == {"identity", "relu"}
        assert "ReLU, which cannot be told apart from no activation: their intervals overlap" in flat(near)
        far = made({"identity": [0.60, 0.61, 0.62, 0.63, 0.64, 0.65], "relu": [0.1, 0.11, 0.12, 0.13, 0.14, 0.2]})
        assert far.lowest("train_loss") == ("relu",)
        assert "Lowest median test loss: ReLU; its interval overlaps with no other." in flat(far)

    def test_few_seeds_tell_nothing_apart(self):
        few = made({"identity": [0.9, 0.9], "relu": [0.1, 0.1]})
        assert set(few.lowest()) == {"identity", "relu"}
        assert "fewer than 6 seeds" in str(few)
        assert "ReLU, which cannot be told apart from no activation." in flat(few)
        assert "overlap" not in flat(few), "there are no intervals that could"

    def test_one_network_is_no_networks(self):
        one = made({"identity": [0.9]})
        assert "the one network did not go below the linear floor" in flat(one)
        both = made({"identity": [0.9], "relu": [0.9]})
        assert "1 network is still to be trained" in flat(replace(both, members=both.members[:1]))

    def test_differences_are_between_the_same_seeds(self):
        summary = made({"identity": [1.0, 2, 3, 4, 5, 6], "relu": [0.9, 1.9, 2.9, 3.9, 4.9, 5.9]}).summary("relu")
        assert summary.test_difference.value == pytest.approx(-0.1)
        assert summary.test_difference.excludes_zero
        assert (summary.test_better, summary.test_difference.count) == (6, 6)
        assert made({"relu": [1.0, 2, 3, 4, 5]}).summary("relu").test_difference is None

    def test_those_that_diverged_count_as_the_worst(self):
        far = made({"identity": [1.0] * 6, "relu": [0.1, 0.1] + [math.inf] * 4})
        summary = far.summary("relu")
        assert (summary.diverged, summary.test_loss.value) == (4, math.inf)
        assert summary.test_difference == Estimate(math.inf, pytest.approx(-0.9), math.inf, 6)
        assert summary.test_better == 2
        assert "+∞ [−0.900, ∞]" in flat(far)
        assert far.lowest() == ("identity", "relu")
        assert "4 diverged" in str(far)
        assert summary.to_dict()["test_loss"]["value"] is None

    def test_pairs_of_which_both_diverged_say_nothing(self):
        far = made({"identity": [1.0] * 3 + [math.inf] * 7, "relu": [math.inf] * 4 + [0.5] * 6})
        summary = far.summary("relu")
        assert (summary.test_difference.count, summary.test_better) == (9, 6)
        assert summary.test_difference.value == -math.inf
        assert "−∞ [−∞, ∞]" in flat(far)

    def test_no_lowest_median_where_all_diverged(self):
        text = flat(made({"identity": [math.inf] * 6, "relu": [math.inf] * 6}))
        assert "The median test loss is finite for none of them." in text
        assert "Lowest" not in text

    def test_every_median_comes_with_its_interval(self, result: ComparisonResult):
        summary, row = result.summary("relu"), result.table()[1][1]
        right, epochs = summary.test_accuracy, summary.epochs_to_floor
        assert row[3] == f"{100 * right.value:.1f} % [{100 * right.low:.1f}, {100 * right.high:.1f}]"
        late = made({"relu": [0.4, 0.4, 0.4, 0.4, 0.4, 0.9]})
        assert late.table()[1][0][3] == "3 [3, ∞]"
        assert epochs.count == 6

    def test_below_the_floor_and_at_it(self):
        summary = made({"relu": [0.4, 0.5, 0.50001, 0.49999, 0.9]}).summary("relu")
        assert (summary.below_floor, summary.at_floor) == (1, 3)

    def test_grids_name_what_differs(self):
        grid = compare(
            tiny(), ["relu", None], 1, depths=[0, 2], widths=3, learning_rates=[0.1, 0.01], config=CONFIG
        )  # fmt: skip
        names = [row[0] for row in grid.table()[1]]
        assert names[0] == "ReLU, hidden none, rate 0.1"
        assert names[-2] == "no activation, hidden 3-3, rate 0.01"
        with pytest.raises(wa.InputError, match="over more than activations"):
            grid.lowest()
        with pytest.raises(wa.InputError, match="'relu' has 4 places"):
            grid.summary("relu")

    def test_refuses_other_quantities(self, result: ComparisonResult):
        with pytest.raises(wa.InputError, match="'train_loss' or 'test_loss', but 'loss' came"):
            result.lowest("loss")


class TestFiles:
    def test_a_frame_has_one_row_per_network(self, result: ComparisonResult):
        frame = result.to_frame()
        assert isinstance(frame, pd.DataFrame)
        assert tuple(frame.columns) == COLUMNS
        assert len(frame) == 30
        assert frame.groupby("activation")["test_loss"].median()["relu"] == result.summary("relu").test_loss.value

    def test_csv(self, result: ComparisonResult, tmp_path: Path):
        path = result.to_csv(tmp_path / "a.csv")
        with path.open(encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        assert [float(row["train_loss"]) for row in rows] == [member.train_loss for member in result.members]
        assert rows[0]["hidden"] == "4"

    def test_json_and_back(self, result: ComparisonResult, tmp_path: Path):
        path = result.to_json(tmp_path / "a.json")
        again = ComparisonResult.from_json(path)
        assert again == result
        assert str(again) == str(result)
        assert json.loads(path.read_text(encoding="utf-8"))["summaries"][1]["place"]["activation"] == "relu"
        assert list(tmp_path.iterdir()) == [path]

    @pytest.mark.parametrize("text", ["", "{}", "[]", '{"format": "whyactivate comparison 1"}', '{"format": "2"}'])
    def test_other_files_are_refused(self, text: str, tmp_path: Path):
        path = tmp_path / "a.json"
        path.write_text(text, encoding="utf-8")
        with pytest.raises(wa.InputError, match=r"a\.json is not a comparison that to_json wrote"):
            ComparisonResult.from_json(path)

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            ('"seed": 3', '"seed": 33'),
            ('"finished"', '"early"'),
            ('"train_loss": 0', '"train_loss": 1'),
            ("relu", "rule"),
        ],
    )
    def test_a_file_that_was_changed_is_refused(self, result: ComparisonResult, tmp_path: Path, old: str, new: str):
        path = result.to_json(tmp_path / "a.json")
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new, 1), encoding="utf-8")
        with pytest.raises(wa.InputError, match=r"a\.json is damaged, or was changed"):
            ComparisonResult.from_json(path)

    def test_half_a_file_is_refused(self, result: ComparisonResult, tmp_path: Path):
        path = result.to_json(tmp_path / "a.json")
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(wa.InputError, match=r"a\.json is not a comparison"):
            compare(tiny(classes=2, rows=30), resume=path)

    def test_other_spacing_does_not_matter(self, result: ComparisonResult, tmp_path: Path):
        path = tmp_path / "a.json"
        path.write_text(json.dumps(result.to_dict(), sort_keys=True), encoding="utf-8")
        assert ComparisonResult.from_json(path) == result

    def test_a_file_that_is_not_there(self, tmp_path: Path):
        with pytest.raises(wa.InputError, match=r"cannot read .*no such file"):
            compare(tiny(), resume=tmp_path / "none.json")


class TestModel:
    def test_gives_the_trained_network(self, result: ComparisonResult):
        data = tiny(classes=2, rows=30)
        model = result.model("tanh", seed=3)
        assert isinstance(model, wa.MLP)
        loss = torch.nn.functional.cross_entropy(model(data.test_x), data.test_y).item()
        (member,) = (m for m in result.members if (m.place.activation, m.seed) == ("tanh", 3))
        assert loss == pytest.approx(member.test_loss, rel=1e-5)

    def test_without_weights(self, result: ComparisonResult, tmp_path: Path):
        again = ComparisonResult.from_json(result.to_json(tmp_path / "a.json"))
        with pytest.raises(wa.InputError, match="keep_weights=True"):
            again.model("relu")
        with pytest.raises(wa.InputError, match="no network 'relu' with seed 99"):
            result.model("relu", seed=99)


class TestFigure:
    def test_every_network_is_a_dot_and_the_floor_is_drawn(self, result: ComparisonResult):
        figure = result.plot()
        for axes in figure.axes:
            dots = sum(len(line.get_xdata()) for line in axes.lines if line.get_marker() == ".")
            assert dots == 30
        texts = [text.get_text() for axes in figure.axes for text in axes.texts]
        assert any(text.startswith("linear floor") for text in texts)
        assert svg_of(figure) == svg_of(result.plot())
        small = figure.texts[-1].get_text()
        assert small.startswith(f"whyactivate {wa.__version__}, {result.config.epochs} epochs, seeds ")
        assert str(result.seeds[-1]) in small
        assert "no activation: training" in describe_comparison(result)

    def test_those_that_diverged_are_named(self):
        figure = made({"relu": [0.1] * 5 + [math.inf]}).plot()
        assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["ReLU (1 diverged)"]

    def test_an_interval_without_an_upper_end_is_an_arrow(self):
        figure = made({"relu": [0.1, 0.2, 0.3] + [math.inf] * 3, "tanh": [0.5] * 6}).plot()
        for axes in figure.axes:
            (arrow,) = (line for line in axes.lines if line.get_marker() == ">")
            assert arrow.get_xdata()[0] == axes.get_xlim()[1]
            assert 0 < arrow.get_ydata()[0] + 1 <= 1

    @pytest.mark.parametrize("dpi", [80, 110, 160])
    def test_names_stay_inside_at_any_resolution(self, dpi: int):
        wide = made({"identity": [math.inf] * 6, "relu": [0.1] * 6})
        places = {place: replace(place, hidden=(18,) * (3 + i)) for i, place in enumerate(wide.places)}
        members = tuple(replace(member, place=places[member.place]) for member in wide.members)
        figure = replace(wide, places=tuple(places.values()), members=members).plot()
        file = io.BytesIO()
        figure.savefig(file, dpi=dpi)
        file.seek(0)
        at_the_left = pyplot.imread(file)[:, :2]
        assert (at_the_left == at_the_left[0, 0]).all(), "no letter is cut"

    def test_a_result_without_networks(self):
        empty = replace(made({"relu": [0.1]}), members=())
        assert "No network was trained" in str(empty)
        assert len(empty.plot().axes) == 2


class TestWhatCannotBeDone:
    def test_an_activation_that_was_not_compared_is_told_with_the_nearest(self, result: ComparisonResult):
        with pytest.raises(wa.UnknownNameError, match=r"'rleu'\. Did you mean 'relu'"):
            result.summary("rleu")

    @pytest.mark.parametrize("write", ["to_json", "to_csv"])
    def test_a_place_that_cannot_be_written_to_is_told(self, result: ComparisonResult, write: str, tmp_path: Path):
        folder = tmp_path / "folder"
        folder.mkdir()
        for path in (folder, tmp_path / "no" / "file", None):
            with pytest.raises(wa.InputError, match=r"cannot write|path of a file to write"):
                getattr(result, write)(path)
        assert list(tmp_path.iterdir()) == [folder]  # nothing is left lying about

    def test_one_network_is_one(self):
        assert words.title(made({"relu": [0.4]})) == "made: 1 network, 1 activation, 1 seed"
