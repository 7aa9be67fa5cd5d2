import inspect
from typing import get_type_hints

import pytest

from modelwright.core.job import Outcome
from modelwright.core.settings import Settings
from modelwright.pipeline import stages as table
from modelwright.pipeline.recipe import Recipe
from modelwright.pipeline.stages import STAGES, Stage, load_function, settings_of, stages_of

NAMES = [stage.name for stage in STAGES]
IN_RUNS = [stage for stage in STAGES if stage.in_runs]


def recipe(**parts: object) -> Recipe:
    return Recipe.model_validate({"collect": {"sources": ["python-docs"]}, **parts})


def each_stage() -> pytest.MarkDecorator:
    return pytest.mark.parametrize("stage", STAGES, ids=NAMES)


@each_stage()
def test_its_function_takes_a_job_with_its_settings_and_gives_an_outcome(stage: Stage) -> None:
    function = load_function(stage)
    hints = get_type_hints(function)
    (parameter,) = inspect.signature(function).parameters
    assert hints["return"] is Outcome
    assert hints[parameter].__args__ == (stage.settings,)
    assert function.__doc__


@pytest.mark.parametrize(
    "stage", [stage for stage in STAGES if stage.fingerprint], ids=lambda stage: stage.name
)
def test_its_fingerprint_is_there(stage: Stage) -> None:
    module, _, name = (stage.fingerprint or "").partition(":")
    assert callable(getattr(__import__(module, fromlist=[name]), name))


@pytest.mark.parametrize("stage", IN_RUNS, ids=lambda stage: stage.name)
def test_the_recipe_has_a_part_for_its_settings(stage: Stage) -> None:
    settings = settings_of(stage, recipe(budget="7 minutes"))
    assert type(settings) is stage.settings
    if stage.name == "dial":
        assert settings.model_dump() == {"budget": "7 minutes", "start": None}
    else:
        assert Recipe.model_fields[stage.name].annotation is stage.settings


def test_every_part_of_the_recipe_belongs_to_a_stage() -> None:
    parts = [
        name
        for name, field in Recipe.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, Settings)
    ]
    assert set(parts) == {stage.name for stage in IN_RUNS} - {"dial"}


@each_stage()
def test_it_takes_only_what_earlier_stages_make(stage: Stage) -> None:
    earlier = {one.name: one for one in STAGES[: NAMES.index(stage.name)]}
    for wanted in stage.inputs:
        makes = {earlier[name].makes for name in wanted.made_by}
        # What no stage makes is given by hand, so a recipe must do without it.
        can_be_left_out = wanted.optional or not stage.in_runs
        assert makes == {wanted.kind} or (can_be_left_out and not wanted.made_by)


def test_without_examples_there_is_no_fine_tuning() -> None:
    without = [stage.name for stage in stages_of(recipe())]
    rows = {"sources": ["a.jsonl"]}
    with_examples = [stage.name for stage in stages_of(recipe(examples=rows))]
    with_all = [stage.name for stage in stages_of(recipe(examples=rows, preferences=rows))]
    assert with_all == [stage.name for stage in IN_RUNS]
    assert with_examples == [name for name in with_all if name not in ("preferences", "align")]
    # These make what nothing in a run takes.
    assert {"reward", "merge", "compress", "export"} == set(NAMES) - set(with_all)
    assert without == [name for name in with_examples if name not in ("examples", "finetune")]


def test_a_recipe_can_be_followed_up_to_a_stage() -> None:
    assert [stage.name for stage in stages_of(recipe(), "tokenizer")][-1] == "tokenizer"
    assert [stage.name for stage in stages_of(recipe(), "collect")] == ["collect"]


def test_planning_loads_a_stage_only_by_name() -> None:
    assert all(":" in stage.function for stage in table.STAGES)
    assert len(set(NAMES)) == len(NAMES)
