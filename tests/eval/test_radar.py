"""The radar's rule by hand, and a picture that is whole."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pytest

from xtune.eval.radar import AbilityScore, abilities, radar_svg

SVG = "{http://www.w3.org/2000/svg}"


def test_each_ability_is_the_mean_of_its_tasks_from_guessing_to_perfect():
    scores = [
        AbilityScore("reasoning", 0.4),  # free answers: nothing is guessed
        AbilityScore("exam", 0.25, 0.25),  # as guessing
        AbilityScore("reasoning", 0.7, 0.5),
        AbilityScore("language", 0.3, 0.5),  # worse than guessing
        AbilityScore("exam", 1.0, 0.25),
    ]
    shown = abilities(scores)
    assert list(shown) == ["exam", "language", "reasoning"]
    assert shown == pytest.approx({"exam": 0.5, "language": 0.0, "reasoning": 0.4})


@pytest.mark.parametrize(
    "score",
    [AbilityScore("speed", 0.5), AbilityScore("exam", 63.4), AbilityScore("exam", 0.5, 1.0)],
)
def test_what_is_no_share_is_refused(score):
    with pytest.raises(ValueError, match=r"no ability 'speed'|shares of 1"):
        abilities([score])


def test_two_axes_make_no_picture():
    assert radar_svg({"after": {"exam": 0.5, "language": 0.5}}) is None
    three = {"exam": 0.5, "language": 0.5, "safety": 0.5}
    assert radar_svg({"before": {"exam": 0.5, "language": 0.5}, "after": three}) is None


def test_the_picture_has_each_model_and_value():
    before = {"exam": 0.0, "language": 0.5, "safety": 1.0}
    svg = radar_svg({"before": before, "after <x>": {**before, "exam": 0.25}})
    tree = ElementTree.fromstring(svg)
    texts = [text.text for text in tree.iter(f"{SVG}text")]
    assert texts[:3] == ["exam 0 → 25", "language 50 → 50", "safety 100 → 100"]
    models = {shape.find(f"{SVG}title").text: shape.get("points") for shape in shapes(tree)}
    assert models["before"].split() == ["280.0,190.0", "336.3,222.5", "167.4,255.0"]
    assert models["after <x>"].split()[0] == "280.0,157.5"


def shapes(tree):
    return [shape for shape in tree.iter(f"{SVG}polygon") if shape.find(f"{SVG}title") is not None]
