"""The files of a tokenizer, which lie in a folder of their own or in a model's."""

from __future__ import annotations

from modelwright.core.artifact import Artifact, digest_of

TOKENIZER, TOKENIZER_CONFIG = "tokenizer.json", "tokenizer_config.json"
TEMPLATE = "chat_template.jinja"
TOKENIZER_FILES = (TOKENIZER, TOKENIZER_CONFIG, TEMPLATE)

MODEL_CONFIG = "config.json"
"""A model's own file, which names the end of a text where the tokenizer's do not."""


def tokenizer_in(model: Artifact) -> Artifact:
    """A model's tokenizer as an artifact of its own: other weights do not make it another."""
    files = {
        name: entry
        for name, entry in model.manifest.files.items()
        if name in (*TOKENIZER_FILES, MODEL_CONFIG)
    }
    digest = digest_of(files)
    changes = {
        "kind": "tokenizer",
        "id": f"{model.path.resolve().name}@{digest[:12]}",
        "digest": digest,
        "files": files,
    }
    return Artifact(model.path, model.manifest.model_copy(update=changes))
