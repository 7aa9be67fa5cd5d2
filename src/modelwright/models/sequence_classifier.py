"""A decoder that scores whole sequences, as a reward model does, and its folders.

Shapes in comments: B rows, T tokens, N sequences, C width of the residual stream.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from modelwright.core.errors import InputError
from modelwright.core.files import write_json
from modelwright.models.config import TransformerConfig
from modelwright.models.families.table import family_named
from modelwright.models.pretrained import (
    CONFIG,
    WEIGHTS,
    load_config,
    load_weights,
    save_tensors,
    shape_problems,
)
from modelwright.models.transformer import CausalLM, DecoderModel

SCORE = "score.weight"
ARCHITECTURES = {
    "qwen3": "Qwen3ForSequenceClassification",
    "llama": "LlamaForSequenceClassification",
    "gpt2": "GPT2ForSequenceClassification",
}


class SequenceClassifier(DecoderModel):
    """Scores of sequences, read off the hidden state of their last token.

    Parameters
    ----------
    config : TransformerConfig
        Of the decoder.
    labels : int
        Scores for each sequence; 1 for a reward model.

    Notes
    -----
    State-dict names equal those of ``transformers.Qwen3ForSequenceClassification``.
    """

    def __init__(self, config: TransformerConfig, labels: int = 1):
        super().__init__(config)
        self.score = nn.Linear(config.hidden_size, labels, bias=False)

    def forward(self, tokens: Tensor, lasts: Tensor, documents: Tensor | None = None) -> Tensor:
        """Scores (N, labels).

        Parameters
        ----------
        tokens : Tensor
            Ids (B, T), int64.
        lasts : Tensor
            Place (N,) of each sequence's last token in the flattened ids.
        documents : Tensor, optional
            The sequence of each id (B, T), where a row holds several.
        """
        hidden = self.hidden_states(tokens, documents=documents)  # (B, T, C)
        scores: Tensor = self.score(hidden.flatten(0, 1)[lasts])
        return scores


def classifier_from(model: CausalLM, labels: int = 1, seed: int = 0) -> SequenceClassifier:
    """A classifier on a language model's decoder, which is taken over, with small random scores."""
    classifier = SequenceClassifier(model.config, labels)
    classifier.model = model.model
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        # As Huang et al. 2024, arXiv:2403.17031, detail 11: N(0, 1 / (C + 1)).
        std = (model.config.hidden_size + 1) ** -0.5
        weight = torch.randn(classifier.score.weight.shape, generator=generator) * std
        classifier.score.weight.copy_(weight)
    return classifier.to(next(model.parameters()).device)


def save_classifier(config: TransformerConfig, tensors: dict[str, Tensor], folder: Path) -> None:
    """Write a folder that ``AutoModelForSequenceClassification`` opens.

    Parameters
    ----------
    config : TransformerConfig
        Of the classifier.
    tensors : dict of str to Tensor
        Its :func:`~modelwright.models.pretrained.model_tensors`.
    folder : Path
        Where to.
    """
    family = family_named(config.family)
    score = tensors[SCORE]
    labels = range(score.shape[0])
    content = {
        **family.write_config(config),
        "architectures": [ARCHITECTURES[config.family]],
        "num_labels": len(labels),
        "id2label": {str(label): f"LABEL_{label}" for label in labels},
        "label2id": {f"LABEL_{label}": label for label in labels},
    }
    write_json(folder / CONFIG, content)
    decoder = {name: tensor for name, tensor in tensors.items() if name != SCORE}
    save_tensors({**family.to_their_names(decoder), SCORE: score}, folder / WEIGHTS)


def load_classifier(folder: Path, device: torch.device | str = "cpu") -> SequenceClassifier:
    """Open a folder that holds a sequence classifier, ours or one of ``transformers``, in float32.

    Raises
    ------
    InputError
        If files are missing or damaged, or it is no sequence classifier.
    """
    config = load_config(folder)
    theirs = load_weights(folder)
    if SCORE not in theirs:
        raise InputError(
            "this model scores no sequences: it has no 'score.weight'",
            where=folder,
            fix="give a reward model, as the stage 'reward' makes it",
        )
    score = theirs.pop(SCORE)
    tensors: dict[str, Any] = {**family_named(config.family).to_our_names(theirs), SCORE: score}
    tensors.pop("lm_head.weight", None)
    model = SequenceClassifier(config, score.shape[0])
    problems = shape_problems(model, tensors)
    if problems:
        raise InputError(f"the weights do not fit config.json: {problems[0]}", where=folder)
    model.load_state_dict(tensors)
    return model.to(device).eval()
