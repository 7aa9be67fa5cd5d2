from modelwright.core.artifact import Artifact
from modelwright.pipeline.plan import explain, key_parts
from modelwright.pipeline.stages import STAGES
from modelwright.tokens.settings import ShardsSettings


def test_another_licence_of_an_input_makes_a_stage_stale(finished) -> None:
    shards = next(stage for stage in STAGES if stage.name == "shards")
    corpus = next(one for one in finished.artifacts() if one.manifest.stage == "prepare")
    other = Artifact(corpus.path, corpus.manifest.model_copy(update={"licences": ["CC0-1.0"]}))
    before = key_parts(shards, ShardsSettings(), {"corpus": corpus})
    after = key_parts(shards, ShardsSettings(), {"corpus": other})
    assert before != after
    assert explain(before, after) == "other licences"
