import torch

from modelwright.inference.engine import Engine
from modelwright.inference.kv_cache import KVCache

CPU = torch.device("cpu")


def new_cache(engine: Engine, slots: int = 8) -> KVCache:
    return KVCache(engine.model.config, slots, CPU, torch.float32)


def test_it_grows_to_what_is_needed_and_keeps_what_it_holds(engine: Engine) -> None:
    cache = new_cache(engine)
    cache.reserve(1, 10)
    assert (cache.slots, cache.length) == (1, 64)
    new = torch.randn(1, 2, 3, 64)
    cache.step([0], torch.arange(3)[None], 3)[1].append(new, -new)
    cache.reserve(3, 65)
    assert (cache.slots, cache.length) == (4, 96)  # the context ends at 96
    keys, values = cache.step([0], torch.tensor([[3]]), 4)[1].append(
        torch.zeros(1, 2, 1, 64), torch.zeros(1, 2, 1, 64)
    )
    assert torch.equal(keys[:, :, :3], new)
    assert torch.equal(values[:, :, :3], -new)
    cache.reserve(8, 96)
    assert (cache.slots, cache.length) == (8, 96)


def test_rows_that_are_no_neighbours_are_read_in_order(engine: Engine) -> None:
    cache = new_cache(engine)
    cache.reserve(8, 4)
    new = torch.arange(3.0)[:, None, None, None].expand(3, 2, 1, 64)
    keys, _ = cache.step([1, 3, 6], torch.tensor([[0], [2], [1]]), 3)[0].append(new, new)
    assert keys[:, 0, :, 0].tolist() == [[0, 0, 0], [0, 0, 1], [0, 2, 0]]


@torch.inference_mode()
def test_logits_with_the_cache_equal_those_without(engine: Engine) -> None:
    tokens = torch.randint(0, 300, (3, 40), generator=torch.Generator().manual_seed(0))
    expected = engine.model(tokens)
    cache = new_cache(engine)
    cache.reserve(3, 40)
    prefill = 17
    caches = cache.step([0, 1, 2], torch.arange(prefill).expand(3, -1), prefill)
    got = [engine.model(tokens[:, :prefill], caches=caches)]
    for position in range(prefill, 40):
        positions = torch.full((3, 1), position)
        caches = cache.step([0, 1, 2], positions, position + 1)
        mask = torch.ones(3, 1, 1, position + 1, dtype=torch.bool)
        got.append(engine.model(tokens[:, position : position + 1], positions, mask, caches))
    assert (torch.cat(got, dim=1) - expected).abs().max() < 1e-5
