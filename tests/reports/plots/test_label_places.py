from itertools import combinations

from localmin.charts import Chart, Series
from localmin.reports.plots import draw_figure
from localmin.reports.plots.label_places import Box, place_labels
from localmin.reports.plots.styled import ends_inside

PAGE = Box(0, 0, 400, 300)


def test_names_of_neighbours_do_not_overlap() -> None:
    spots = [(200.0, 150.0, "first"), (204.0, 152.0, "second"), (208.0, 148.0, "third")]
    boxes = [label.box for label in place_labels(spots, [], PAGE)]
    assert all(a.overlap(b) == 0 for a, b in combinations(boxes, 2))


def test_a_name_stays_on_the_page_and_off_what_is_there() -> None:
    (label,) = place_labels([(390.0, 150.0, "at the edge")], [], PAGE)
    assert label.box.right <= PAGE.right
    (label,) = place_labels([(100.0, 150.0, "name")], [Box(104, 140, 300, 160)], PAGE)
    assert label.box.overlap(Box(104, 140, 300, 160)) == 0


def test_single_points_and_short_curves_are_named_where_they_end() -> None:
    chart = Chart(
        "a", "t", "x", "y",
        (
            Series("long", (0, 10), (0, 1)),
            Series("short", (0, 2), (1, 1)),
            Series("spot", (10,), (0.2,), "points"),
        ),
    )  # fmt: skip
    assert [ends_inside(chart, series) for series in chart.series] == [False, True, True]
    assert str(draw_figure(chart)).count(">short<") == 2


def test_a_long_name_goes_above_the_plot() -> None:
    name = "one large layer changes sign (divided by 100)"
    drawn = str(draw_figure(Chart("a", "t", "x", "y", (Series(name, (0, 10), (0, 1)),))))
    assert f'<text class="tick" x="20" y="30" text-anchor="start">{name}</text>' in drawn
