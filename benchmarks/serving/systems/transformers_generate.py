"""transformers' generate, with its own cache, greedy."""

from itertools import count

import torch
from transformers import AutoModelForCausalLM
from worker import prompts, read_work, run_blocks

WORK = read_work()


def main() -> None:
    torch.set_num_threads(WORK.threads)
    model = AutoModelForCausalLM.from_pretrained(WORK.folder, dtype=getattr(torch, WORK.kind))
    model.eval()
    numbers = count()

    @torch.inference_mode()
    def block() -> int:
        given = torch.tensor(prompts(WORK, next(numbers)))
        out = model.generate(
            given,
            attention_mask=torch.ones_like(given),
            max_new_tokens=WORK.answer,
            min_new_tokens=WORK.answer,
            do_sample=False,
            pad_token_id=0,
        )
        return int(out[:, WORK.prompt :].numel())

    run_blocks(block)


main()
