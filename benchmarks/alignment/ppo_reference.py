"""Golden numbers of PPO: what TRL 1.9.0 works out in a step, recorded from inside its trainer.

python benchmarks/alignment/ppo_reference.py [PYTHON]

TRL 1.16.0 has no PPO any more. This runs the trainer of 1.9.0 on a tiny random model, one rollout
and three epochs over it, and writes what it was given and what it made of it (advantages, losses,
gradients) to `tests/training/losses/ppo_reference.json`, which the tests there compare with. PYTHON
must have TRL 1.9.0; without it an environment is made.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
GOLDEN = REPOSITORY / "tests" / "training" / "losses" / "ppo_reference.json"
REQUIREMENTS = ("trl==1.9.0", "torch==2.13.0", "transformers==5.23.0", "datasets==5.2.0", "pandas")

BATCH, PROMPT, RESPONSE, VOCABULARY, PAD, END = 8, 5, 8, 24, 0, 1
CASES: dict[str, dict[str, Any]] = {
    "k1": {"kl_estimator": "k1", "gamma": 1.0, "lam": 0.95},
    "k3, rewards whitened, discount": {
        "kl_estimator": "k3",
        "whiten_rewards": True,
        "gamma": 0.95,
        "lam": 0.9,
        "temperature": 1.3,
    },
}
COMMON = {"kl_coef": 0.05, "cliprange": 0.2, "cliprange_value": 0.2, "vf_coef": 0.1}


def main() -> int:
    """Record in an environment with TRL 1.9.0; returns the exit code."""
    if "--record" in sys.argv:
        record()
        return 0
    if len(sys.argv) > 1:
        python = Path(sys.argv[1])
    else:
        sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "data"))
        from environments import environment

        python = environment("ppo", REQUIREMENTS)
    return subprocess.run([python, __file__, "--record"]).returncode


def record() -> None:
    """Write the golden numbers of all cases."""
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
    versions = {name: importlib.metadata.version(name) for name in ("trl", "transformers", "torch")}
    if versions["trl"] != "1.9.0":
        sys.exit(f"this needs trl 1.9.0, and here is {versions['trl']}")
    cases = {name: {"settings": COMMON | case} | run(case) for name, case in CASES.items()}
    made = {"by": "benchmarks/alignment/ppo_reference.py"} | versions
    GOLDEN.write_text(json.dumps({"made": made, "cases": cases}) + "\n", encoding="utf-8")
    print(f"{GOLDEN.relative_to(REPOSITORY)}: {GOLDEN.stat().st_size:,} bytes")


def run(case: dict[str, Any]) -> dict[str, Any]:
    """One rollout and three epochs over it; what went through the trainer's functions."""
    import numpy
    import torch
    from trl.experimental.ppo import PPOConfig, ppo_trainer

    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        settings = PPOConfig(
            output_dir=folder,
            use_cpu=True,
            bf16=False,
            report_to="none",
            per_device_train_batch_size=BATCH,
            gradient_accumulation_steps=1,
            num_mini_batches=1,
            num_ppo_epochs=3,
            total_episodes=BATCH,
            local_rollout_forward_batch_size=BATCH,
            response_length=RESPONSE,
            stop_token="eos",
            num_sample_generations=0,
            learning_rate=0.03,  # so that ratios and values leave the clip
            save_strategy="no",
            **COMMON,
            **case,
        )
        trainer = make_trainer(settings)
        tape = Tape(ppo_trainer, trainer)
        numpy.random.permutation = numpy.arange  # rows stay in their order
        trainer.train()
    return tape.found()


def make_trainer(settings: Any) -> Any:
    """The trainer with four tiny random models."""
    import torch
    from datasets import Dataset
    from tokenizers import Tokenizer, models
    from transformers import (
        LlamaConfig,
        LlamaForCausalLM,
        LlamaForSequenceClassification,
        PreTrainedTokenizerFast,
        default_data_collator,
    )
    from trl.experimental.ppo import PPOTrainer

    words = {"<pad>": PAD, "<end>": END} | {f"w{i}": i for i in range(2, VOCABULARY)}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(words, unk_token="<pad>")),
        pad_token="<pad>",
        eos_token="<end>",
    )
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=64,
        initializer_range=0.3,
        pad_token_id=PAD,
        bos_token_id=None,
        eos_token_id=END,
        num_labels=1,
    )
    prompts = torch.randint(2, VOCABULARY, (BATCH, PROMPT)).tolist()
    data = Dataset.from_dict({"input_ids": prompts})
    return PPOTrainer(
        args=settings,
        processing_class=tokenizer,
        model=LlamaForCausalLM(config),
        ref_model=LlamaForCausalLM(config),
        reward_model=LlamaForSequenceClassification(config),
        value_model=LlamaForSequenceClassification(config),
        train_dataset=data,
        eval_dataset=data,
        data_collator=default_data_collator,
    )


class Tape:
    """Wraps what the trainer's module calls, and keeps arguments and results."""

    def __init__(self, module: Any, trainer: Any):
        import torch

        self.log_probabilities = list[Any]()
        self.rewards = list[Any]()
        self.whitenings = list[Any]()
        self.means = list[Any]()
        self.values: Any = None
        self.gradients: Any = None
        self.loss: Any = None
        log_softmax, get_reward = module.selective_log_softmax, module.get_reward
        whiten, mean, forward = module.masked_whiten, module.masked_mean, module.forward
        backward = trainer.accelerator.backward

        def taped_log_softmax(*arguments: Any) -> Any:
            self.log_probabilities.append(log_softmax(*arguments))
            return self.log_probabilities[-1]

        def taped_get_reward(*arguments: Any) -> Any:
            self.rewards.append(get_reward(*arguments))
            return self.rewards[-1]

        def taped_whiten(values: Any, mask: Any, shift_mean: bool = True) -> Any:
            before = len(self.means)
            result = whiten(values, mask, shift_mean)
            del self.means[before:]  # those that it took itself
            self.whitenings.append((values, mask, result))
            return result

        def taped_mean(values: Any, mask: Any, axis: Any = None) -> Any:
            self.means.append((values, mask, mean(values, mask, axis)))
            return self.means[-1][2]

        def taped_forward(*arguments: Any) -> Any:
            result = forward(*arguments)
            if isinstance(result, tuple):  # policy and value together: a training step
                self.values = result[1]
            return result

        def taped_backward(loss: Any) -> None:
            inputs = [self.log_probabilities[-1], self.values]
            self.gradients = torch.autograd.grad(loss, inputs, retain_graph=True)
            self.loss = loss
            backward(loss)

        module.selective_log_softmax, module.get_reward = taped_log_softmax, taped_get_reward
        module.masked_whiten, module.masked_mean = taped_whiten, taped_mean
        module.forward, trainer.accelerator.backward = taped_forward, taped_backward

    def found(self) -> dict[str, Any]:
        """The rollout, and the last epoch."""
        state = slice(PROMPT - 1, -1)  # from where each token of the response is predicted
        raw_advantages, mask, advantages = self.whitenings[-1]
        value_losses, value_mask, value_loss = self.means[-4]
        policy_losses, _, policy_loss = self.means[-2]
        lengths = mask.sum(1)
        assert lengths.min() >= 1
        assert lengths.min() < RESPONSE == lengths.max(), lengths
        return {
            "mask": mask.int().tolist(),
            "value_mask": value_mask.int().tolist(),
            "log_probabilities": numbers(self.log_probabilities[0]),
            "reference": numbers(self.log_probabilities[1]),
            "values": numbers(self.rewards[0][0][:, state].squeeze(-1)),
            "scores": numbers(self.rewards[1][1]),
            "raw_advantages": numbers(raw_advantages),
            "advantages": numbers(advantages),
            "new_log_probabilities": numbers(self.log_probabilities[-1]),
            "new_values": numbers(self.values[:, state].squeeze(-1)),
            "policy_losses": numbers(policy_losses),
            "value_losses": numbers(value_losses),
            "policy_loss": numbers(policy_loss),
            "value_loss": numbers(value_loss),
            "loss": numbers(self.loss),
            "log_probability_gradient": numbers(self.gradients[0]),
            "value_gradient": numbers(self.gradients[1][:, state].squeeze(-1)),
        }


def numbers(tensor: Any) -> Any:
    """As nested lists, in the nine digits that a float32 takes."""
    nested = tensor.detach().float().tolist()

    def short(value: Any) -> Any:
        return [short(one) for one in value] if isinstance(value, list) else float(f"{value:.9g}")

    return short(nested)


if __name__ == "__main__":
    sys.exit(main())
