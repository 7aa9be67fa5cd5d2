"""Triton's kernels in its interpreter against plain PyTorch: no GPU, but an environment of its own.

Run by ``test_triton_kernels.py``, since triton looks at TRITON_INTERPRET when it is imported.
"""

import itertools
import os
import random

import torch

os.environ["TRITON_INTERPRET"] = "1"

from modelwright.inference import triton_attention
from modelwright.inference.block_manager import BLOCK_SIZE
from modelwright.inference.decode_attention import gathered_attention


def case(
    lengths: list[int], heads: int, kv_heads: int, width: int, dtype: torch.dtype, seed: int
) -> tuple[torch.Tensor, ...]:
    """Queries, keys, values, table, lengths; all that nobody may look at is not a number."""
    dice = random.Random(seed)
    generator = torch.Generator().manual_seed(seed)
    columns = -(-max(lengths) // BLOCK_SIZE) + 1
    numbers = list(range(len(lengths) * columns))
    dice.shuffle(numbers)
    table = torch.tensor(numbers, dtype=torch.int32).view(len(lengths), columns)
    shape = (len(numbers), BLOCK_SIZE, kv_heads, width)
    keys, values = (torch.full(shape, torch.nan, dtype=dtype) for _ in range(2))
    for row, length in enumerate(lengths):
        for place in range(length):
            block = table[row, place // BLOCK_SIZE]
            for cache in (keys, values):
                one = torch.randn(kv_heads, width, generator=generator)
                cache[block, place % BLOCK_SIZE] = one.to(dtype)
    queries = torch.randn(len(lengths), heads, width, generator=generator).to(dtype)
    return queries, keys, values, table, torch.tensor(lengths)


def main() -> None:
    shapes = [(4, 2, 12), (4, 4, 64), (16, 2, 80)]
    batches = [[1], [17, 64, 1], [200, 63, 65, 130]]
    ways = [(None, 512), (6, 512), (None, 1), (70, 8)]
    for (heads, kv_heads, width), lengths, (window, programs) in itertools.product(
        shapes, batches, ways
    ):
        triton_attention.PROGRAMS = programs
        given = case(lengths, heads, kv_heads, width, torch.float32, heads + len(lengths))
        got = triton_attention.paged_attention(*given, window)
        torch.testing.assert_close(got, gathered_attention(*given, window), atol=1e-5, rtol=1e-5)
    # In half precision, as the interpreter multiplies bfloat16 as if it were whole numbers.
    given = case([100, 40], 8, 2, 64, torch.float16, 1)
    got = triton_attention.paged_attention(*given, None)
    wide = [one.float() if one.is_floating_point() else one for one in given]
    expected = gathered_attention(*wide, None)
    assert got.dtype == torch.float16
    assert (got.float() - expected).norm() / expected.norm() < 1e-2
    print("equal")


if __name__ == "__main__":
    main()
