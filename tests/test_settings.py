"""Settings and presets."""

from __future__ import annotations

from typing import Any

import pytest

from singan_toolkit.training.settings import settings_of


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("iterations", 0),
        ("iterations", -5),
        ("iterations", "many"),
        ("iterations", 2.5),
        ("finest_iterations", 0),
        ("learning_rate", 0),
        ("learning_rate", 2),
        ("learning_rate", float("nan")),
        ("reconstruction", float("inf")),
        ("noise_amplitude", -0.1),
        ("noise_amplitude", float("nan")),
        ("beta1", 1),
        ("weight_average", 1),
        ("channels", 0),
        ("min_size", 11),
        ("factor", 1),
        ("batch", 0),
        ("crop", -1),
        ("crop", 10),
        ("decay", "cosine"),
        ("precision", "float8"),
        ("reflect", "perhaps"),
        ("patches_to", -1),
    ],
)
def test_a_bad_value_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=name):
        settings_of("draft", **{name: value})


def test_an_unknown_setting_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="iteration_count"):
        settings_of("draft", iteration_count=3)


def test_an_unknown_preset_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"'turbo'.*draft, fast, paper"):
        settings_of("turbo")


def test_values_may_be_given_as_text() -> None:
    settings = settings_of("draft", iterations="12", learning_rate="1e-3", reflect="false", precision="float32")
    assert (settings.iterations, settings.learning_rate, settings.reflect) == (12, 1e-3, False)
    assert settings == settings_of("draft", iterations=12, learning_rate=1e-3, reflect=False, precision="float32")


def test_the_preset_paper_is_the_published_configuration() -> None:
    paper = settings_of("paper")
    published = dict(
        min_size=25,
        max_size=250,
        channels=32,
        iterations=2000,
        finest_iterations=2000,
        discriminator_steps=3,
        generator_steps=3,
        learning_rate=5e-4,
        beta1=0.5,
        beta2=0.999,
        gradient_penalty=0.1,
        reconstruction=10,
        noise_amplitude=0.1,
        normalize_generator=True,
        normalize_discriminator=True,
        crop=0,
        batch=1,
    )
    assert {name: getattr(paper, name) for name in published} == published
    assert paper.factor == pytest.approx(1 / 0.75)


def test_iterations_fall_in_equal_ratios() -> None:
    settings = settings_of("fast", iterations=2000, finest_iterations=1000)
    assert [settings.iterations_at(n, 5) for n in range(5)] == [2000, 1682, 1414, 1189, 1000]
    assert settings.iterations_at(0, 1) == 2000
    assert [settings_of("paper").iterations_at(n, 9) for n in (0, 4, 8)] == [2000, 2000, 2000]
    rising = settings_of("fast", iterations=1, finest_iterations=1000)
    assert [rising.iterations_at(n, 4) for n in range(4)] == [1, 10, 100, 1000]
