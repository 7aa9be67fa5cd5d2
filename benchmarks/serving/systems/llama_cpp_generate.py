"""llama.cpp through its C functions, greedy; all texts in one batch."""

from itertools import count

import llama_cpp as llama
import numpy as np
from worker import prompts, read_work, run_blocks

WORK = read_work()


def main() -> None:
    llama.llama_backend_init()
    model = llama.llama_model_load_from_file(
        WORK.folder.encode(), llama.llama_model_default_params()
    )
    settings = llama.llama_context_default_params()
    settings.n_ctx = WORK.texts * (-(-(WORK.prompt + WORK.answer) // 256) * 256)
    settings.n_batch = settings.n_ubatch = max(512, WORK.texts)
    settings.n_seq_max = WORK.texts
    settings.n_threads = settings.n_threads_batch = WORK.threads
    context = llama.llama_init_from_model(model, settings)
    vocabulary = llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(model))
    batch = llama.llama_batch_init(settings.n_batch, 0, 1)
    numbers = count()

    def run(tokens: list[tuple[int, int, int, bool]]) -> None:
        """Token, position, text, whether its logits are wanted."""
        batch.n_tokens = len(tokens)
        for index, (token, position, text, wanted) in enumerate(tokens):
            batch.token[index], batch.pos[index] = token, position
            batch.n_seq_id[index], batch.seq_id[index][0] = 1, text
            batch.logits[index] = wanted
        assert llama.llama_decode(context, batch) == 0

    def likeliest(index: int) -> int:
        logits = llama.llama_get_logits_ith(context, index)
        return int(np.ctypeslib.as_array(logits, (vocabulary,)).argmax())

    def block() -> int:
        llama.llama_memory_clear(llama.llama_get_memory(context), True)
        texts = []
        for text, prompt in enumerate(prompts(WORK, next(numbers))):
            last = len(prompt) - 1
            run([(token, place, text, place == last) for place, token in enumerate(prompt)])
            texts.append(likeliest(last))
        for number in range(1, WORK.answer):
            position = WORK.prompt + number - 1
            run([(token, position, text, True) for text, token in enumerate(texts)])
            texts = [likeliest(index) for index in range(len(texts))]
        return WORK.texts * WORK.answer

    run_blocks(block)


main()
