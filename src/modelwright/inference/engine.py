"""The engine: takes prompts, runs the model step by step, gives text and scores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal, get_args

import torch
from torch import Tensor

from modelwright.core.errors import InputError, UsageError
from modelwright.inference.block_manager import BlockManager
from modelwright.inference.completion import Completion, completion_of
from modelwright.inference.continuation import Continuation, StepOutput
from modelwright.inference.device_decoding import DeviceDecoding, Launched
from modelwright.inference.draft_model import DraftModel, check_vocabulary
from modelwright.inference.kv_cache import KVCache, block_bytes, cache_blocks
from modelwright.inference.model_runner import ModelRunner, Network
from modelwright.inference.networks import WeightChoice, load_to_run, make_network
from modelwright.inference.prompt_checks import (
    check_bias,
    check_length,
    check_prompt,
    check_tokens,
)
from modelwright.inference.sampler import make_generator
from modelwright.inference.sampling import MAX_SEED, SamplingParams
from modelwright.inference.scheduler import Part, Scheduler
from modelwright.inference.scoring import embeddings_of, log_probabilities_of
from modelwright.inference.sequence import Sequence
from modelwright.inference.speculation import Drafter, Speculation, guess_repeated
from modelwright.inference.static_network import StaticNetwork
from modelwright.inference.structured import Structures
from modelwright.models.adapters.attach import active_adapter, remove_adapter, switch_adapter
from modelwright.models.adapters.peft_folder import load_adapter
from modelwright.models.device import pick_device
from modelwright.models.transformer import CausalLM
from modelwright.tokens.tokenizer import Tokenizer

CacheFormat = Literal["full", "int8"]

DRAFT_TOKENS = 4
"""Most tokens that a draft model guesses ahead, if nothing else is asked for."""


class Engine:
    """Generates and scores text with one model.

    One thread at a time may use it; ``background.BackgroundEngine`` shares it among many.

    Parameters
    ----------
    model : CausalLM
        In evaluation mode, on its device.
    tokenizer : Tokenizer
        The model's own.
    max_sequences : int
        Most sequences that run at once; the others wait.
    step_tokens : int, optional
        Most tokens that a step runs: fewer keep answers flowing while prompts come in, more run
        prompts faster. By default what the kind of machine needs to run them fast; at least
        ``max_sequences``.
    cache_tokens : int, optional
        Room in the cache; by default for ``max_sequences`` of full length, or half the memory.
    weights : str
        How the model is run (``networks.py``). With the kernels, that is all but ``model``, a text
        with a seed comes out the same to the bit whatever else is generated beside it.
    cache_format : {"full", "int8"}
        Of keys and values: as the model works them out, or rounded to integers (with the kernels
        only), which take about a quarter of the memory. Scores are rounded alike.
    speculate : int, optional
        Most tokens that are guessed ahead (``speculation.py``): by ``draft``, by default
        ``DRAFT_TOKENS``, or without one from what a text repeats, by default none.
    draft : CausalLM, optional
        A smaller model with the same tokenizer, in evaluation mode, on the same device.
    static_steps : bool, optional
        Whether plain PyTorch runs steps of one token a sequence in fixed shapes, with tokens drawn
        on the device (``static_network.py``); by default on CUDA, where they are CUDA graphs.
    runs_ahead : bool
        Whether such a step is told to the device while the one before runs
        (``device_decoding.py``); never where tokens are guessed.

    Notes
    -----
    The model's weights must not change while the engine lives: it keeps what it worked out.

    Raises
    ------
    InputError
        If the tokenizer has more tokens than the model or the draft model.
    UsageError
        If the cache cannot hold one sequence of full length, or another limit makes no sense.
    """

    def __init__(
        self,
        model: CausalLM,
        tokenizer: Tokenizer,
        *,
        max_sequences: int = 16,
        step_tokens: int | None = None,
        cache_tokens: int | None = None,
        weights: WeightChoice = "model",
        cache_format: CacheFormat = "full",
        speculate: int | None = None,
        draft: CausalLM | None = None,
        static_steps: bool | None = None,
        runs_ahead: bool = True,
    ):
        if max_sequences < 1:
            raise UsageError(
                f"max_sequences must be at least 1; got {max_sequences}", fix="give it 1 or more"
            )
        if cache_format not in get_args(CacheFormat):
            raise UsageError(f"there is no cache format '{cache_format}'", fix="give full or int8")
        if speculate is None:
            speculate = 0 if draft is None else DRAFT_TOKENS
        if draft is not None and speculate < 1:
            raise UsageError(
                f"the draft model has nothing to do: speculate is {speculate}",
                fix="leave out one of the two",
            )
        models = [model] if draft is None else [model, draft]
        for one in models:
            if tokenizer.vocabulary_size > one.config.vocab_size:
                raise InputError(
                    f"the tokenizer has {tokenizer.vocabulary_size} tokens and the "
                    f"{'model' if one is model else 'draft model'} knows {one.config.vocab_size}",
                    fix="use the tokenizer that the model was trained with",
                )
        self.model = model
        self.tokenizer = tokenizer
        self.max_sequences = max_sequences
        self.context_length = model.config.max_position_embeddings
        self.speculate = speculate
        self.device = model.model.embed_tokens.weight.device
        own_dtype = model.model.embed_tokens.weight.dtype
        self._cache_dtype = {"full": own_dtype, "int8": torch.int8}[cache_format]
        block = sum(block_bytes(one.config, self._cache_dtype) for one in models)
        self._blocks = cache_blocks(model, max_sequences, cache_tokens, block)
        if static_steps is None:
            static_steps = self.device.type == "cuda"
        self.network = self._network(model, weights, max_sequences if static_steps else None)
        self.runner = ModelRunner(self.network, tokenizer.vocabulary_size)
        # Every sequence that runs needs one.
        step_tokens = max(step_tokens or self.network.step_tokens, max_sequences)
        self.scheduler = Scheduler(BlockManager(self._blocks), max_sequences, step_tokens)
        self.continuation = Continuation(
            self.scheduler, tokenizer, self.context_length, self.network.sample
        )
        self.speculation: Speculation | None = None
        if speculate:
            drafter = guess_repeated if draft is None else self._drafter(draft, weights)
            self.speculation = Speculation(
                drafter, speculate, self.context_length, self.scheduler.blocks
            )
        self.decoding: DeviceDecoding | None = None
        if isinstance(self.network, StaticNetwork) and not speculate:
            self.decoding = DeviceDecoding(
                self.network,
                self.scheduler,
                tokenizer.vocabulary_size,
                self.context_length,
                runs_ahead,
            )
        self._launched: Launched | None = None
        self.structures = Structures(tokenizer)
        self.adapters = set[str]()

    def _network(
        self, model: CausalLM, weights: WeightChoice, static_sequences: int | None = None
    ) -> Network:
        cache = KVCache(model.config, self._blocks, self.device, self._cache_dtype)
        return make_network(model, cache, weights, static_sequences)

    def _drafter(self, draft: CausalLM, weights: WeightChoice) -> Drafter:
        # Rounding is asked for the model's sake; the draft model may be small in its own way.
        network = self._network(draft, "model" if weights == "model" else "auto")
        return DraftModel(
            network,
            self.tokenizer.vocabulary_size,
            draft.config.max_position_embeddings,
            self.continuation.end_tokens,
        )

    @classmethod
    def load(
        cls,
        folder: Path,
        *,
        max_sequences: int = 16,
        step_tokens: int | None = None,
        cache_tokens: int | None = None,
        device: str = "auto",
        weights: WeightChoice = "model",
        cache_format: CacheFormat = "full",
        speculate: int | None = None,
        draft: Path | None = None,
    ) -> Engine:
        """Open a model folder; in bfloat16 on CUDA, as ``weights`` says or in float32 elsewhere.

        ``draft`` is the folder of a draft model.

        Raises
        ------
        InputError
            If a folder holds no usable model and tokenizer, or the draft model's tokenizer is
            another one.
        UsageError
            If the machine has no such device, or the kernels cannot run the model.
        """
        place = pick_device(device)
        model, tokenizer = load_to_run(folder, place), Tokenizer.load(folder)
        if draft is not None:
            check_vocabulary(draft, tokenizer)
        return cls(
            model,
            tokenizer,
            max_sequences=max_sequences,
            step_tokens=step_tokens,
            cache_tokens=cache_tokens,
            weights=weights,
            cache_format=cache_format,
            speculate=speculate,
            draft=None if draft is None else load_to_run(draft, place),
        )

    def warm_up(self, on_progress: Callable[[int, int], None] | None = None) -> None:
        """Make steps of fixed shapes ready, which otherwise are when they are first needed.

        ``on_progress`` is called with how many are, and how many there will be.
        """
        if isinstance(self.network, StaticNetwork):
            with torch.inference_mode():
                self.network.warm_up(on_progress)

    @property
    def has_work(self) -> bool:
        """Whether any sequence waits or runs."""
        return self.scheduler.has_work

    def add_adapter(self, name: str, folder: Path) -> None:
        """Open an adapter's folder, so that texts can be generated with it under that name.

        Raises
        ------
        InputError
            If it cannot be read, does not fit the model, or the name is taken.
        UsageError
            If the kernels run the model and cannot run this adapter.
        """
        before = active_adapter(self.model)
        load_adapter(self.model, folder, name)
        try:
            self.network.add_adapter(name)
        except UsageError:
            remove_adapter(self.model, name)
            raise
        finally:
            switch_adapter(self.model, before)
        self.adapters.add(name)

    def add(
        self, prompt: list[int], params: SamplingParams, adapter: str | None = None
    ) -> Sequence:
        """Put a prompt into the queue; :meth:`step` works on it.

        Raises
        ------
        ContextLengthError
            If the prompt leaves no room for a single token, where one is wanted.
        InputError
            If it is empty or holds ids that the tokenizer does not have, or the parameters ask for
            a form that cannot be enforced.
        """
        sequence = self.new_sequence(prompt, params, adapter)
        self.scheduler.add(sequence)
        return sequence

    def new_sequence(
        self, prompt: list[int], params: SamplingParams, adapter: str | None = None
    ) -> Sequence:
        """Make a sequence without queueing it, which any thread may; raises as :meth:`add`."""
        if adapter is not None and adapter not in self.adapters:
            raise InputError(
                f"there is no adapter '{adapter}'",
                fix=f"use one of these: {', '.join(sorted(self.adapters)) or 'none is loaded'}",
            )
        self.check_prompt(prompt, params.only_prompt)
        check_bias(params, self.tokenizer)
        matcher = None if params.structure is None else self.structures.matcher(params.structure)
        generator = make_generator(params)
        return Sequence(list(prompt), params, generator, matcher, adapter)

    def check_prompt(self, prompt: list[int], alone: bool = False) -> None:
        """Refuse a prompt that cannot be run, followed by something or ``alone``.

        Raises as :meth:`add` does.
        """
        check_prompt(prompt, self.tokenizer, self.context_length, alone)

    @torch.inference_mode()
    def step(self) -> list[StepOutput]:
        """Run one step; gives what came of it. If it raises, all that run have to be aborted."""
        launched, self._launched = self._launched, None
        try:
            if launched is None or not launched.rows:
                parts = self.scheduler.schedule()
                if not parts:
                    return []
                if self.decoding is None or not self.decoding.fits(parts):
                    return self._run(parts)
                launched = self.decoding.launch(parts)
            assert self.decoding is not None
            self._launched = self.decoding.launch_following(launched)
            return self.continuation.take(*self.decoding.take(launched))
        except Exception:
            # Blocks count as filled since the step was decided upon.
            self.scheduler.blocks.forget()
            self._launched = None
            raise

    def _run(self, parts: list[Part]) -> list[StepOutput]:
        """A step of any kind, whose logits are waited for."""
        if self.speculation is not None:
            left = self.scheduler.step_tokens - sum(part.count for part in parts)
            parts = self.speculation.extend(parts, left)
        said = self.runner.run(parts)
        for part in parts:
            part.sequence.computed = part.end - len(part.draft)
        return self.continuation.go_on([part for part in parts if part.is_last], said)

    def abort(self, sequence: Sequence) -> None:
        """Cancel a sequence and free its place; one that has ended stays as it is."""
        if not sequence.is_finished:
            self.scheduler.remove(sequence)
            sequence.finish("abort")

    def generate(
        self,
        prompts: list[list[int]],
        params: SamplingParams,
        on_progress: Callable[[int], None] | None = None,
    ) -> list[Completion]:
        """Complete many prompts, as many at once as there are slots.

        Parameters
        ----------
        prompts : list of list of int
            Token ids.
        params : SamplingParams
            For all of them; prompt i draws from seed + i, so that equal prompts differ.
        on_progress : callable, optional
            Called with the number of finished prompts after each step.

        Returns
        -------
        list of Completion
            In the order of the prompts.

        Raises
        ------
        ContextLengthError, InputError
            As :meth:`add`, before anything is generated.
        """
        for prompt in prompts:
            self.check_prompt(prompt)
        sequences = [
            self.add(prompt, _with_own_seed(params, index)) for index, prompt in enumerate(prompts)
        ]
        finished = 0
        while finished < len(sequences):
            finished += sum(output.sequence.is_finished for output in self.step())
            if on_progress is not None:
                on_progress(finished)
        return [completion_of(sequence) for sequence in sequences]

    @torch.inference_mode()
    def score(self, sequences: list[list[int]], adapter: str | None = None) -> list[Tensor]:
        """Log-probability of every token, given those before it.

        Parameters
        ----------
        sequences : list of list of int
            Token ids.

        Returns
        -------
        list of Tensor
            Natural logarithms, float32 on the CPU; length n - 1 for n tokens.

        Raises
        ------
        ContextLengthError
            If a sequence is longer than the context.
        """
        for sequence in sequences:
            check_length("a text to score", sequence, self.context_length)
        return log_probabilities_of(
            partial(self.network.hidden_states_of, adapter=adapter), self.network.logits, sequences
        )

    @torch.inference_mode()
    def embed(self, sequences: list[list[int]], adapter: str | None = None) -> list[Tensor]:
        """What texts mean to the model: the mean of their hidden states behind the last layer.

        Parameters
        ----------
        sequences : list of list of int
            Token ids, at least one each.

        Returns
        -------
        list of Tensor
            Of length 1, (hidden_size,), float32 on the CPU.

        Raises
        ------
        ContextLengthError
            If a sequence is longer than the context.
        InputError
            If one is empty or has ids that the tokenizer does not have.
        """
        self.check_embeddable(sequences)
        return embeddings_of(partial(self.network.hidden_states_of, adapter=adapter), sequences)

    def check_embeddable(self, sequences: list[list[int]]) -> None:
        """Refuse texts that cannot be embedded; raises as :meth:`embed`. Any thread may call it."""
        for sequence in sequences:
            check_length("a text to embed", sequence, self.context_length)
            if not sequence:
                raise InputError("a text to embed is empty", fix="give at least one token")
            check_tokens("a text to embed", sequence, self.tokenizer)


def _with_own_seed(params: SamplingParams, index: int) -> SamplingParams:
    if params.seed is None:
        return params
    return replace(params, seed=(params.seed + index) % (MAX_SEED + 1))
