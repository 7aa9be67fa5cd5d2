"""Modelwright's engine."""

from itertools import count
from pathlib import Path

import torch
from worker import prompts, read_work, run_blocks

from modelwright.inference.engine import Engine
from modelwright.inference.sampling import SamplingParams

WORK = read_work()


def main() -> None:
    torch.set_num_threads(WORK.threads)
    engine = Engine.load(Path(WORK.folder), max_sequences=WORK.texts, weights=WORK.kind)
    params = SamplingParams(max_tokens=WORK.answer, temperature=0.0, ignores_end=True)
    numbers = count()

    def block() -> int:
        answers = engine.generate(prompts(WORK, next(numbers)), params)
        return sum(len(answer.tokens) for answer in answers)

    run_blocks(block)


main()
