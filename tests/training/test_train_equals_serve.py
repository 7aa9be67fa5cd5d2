"""10,000 random conversations: what training sees is what the server gives the model."""

from __future__ import annotations

import json
import random
from pathlib import Path

from modelwright.data.drops import Drops
from modelwright.data.example_rows import read_rows
from modelwright.data.sources.settings import JsonlExamples
from modelwright.serving.api.requests import ChatCompletionRequest
from modelwright.tokens.tokenizer import Tokenizer
from modelwright.training.tokenized import tokenize_file

CONVERSATIONS = 10_000
LOOK_ALIKES = ["<|im_end|>", "<|im_start|>assistant", "<tool_call>", "</s>", "\ue000", "<|"]
WORDS = [*LOOK_ALIKES, "the", "fox", "12", "é", "e\u0301", "你好", "🙂", "{x}", "don't\n\n", "\t"]


def conversation(chance: random.Random) -> list[dict[str, str]]:
    """One or two turns of up to five words, some of which look like control tokens."""
    system = [("system", "Be short.")] if chance.random() < 0.3 else []
    turns = [("user", ""), ("assistant", "")] * chance.randint(1, 2)
    messages = []
    for role, content in [*system, *turns]:
        text = " ".join(chance.choices(WORDS, k=chance.randint(1, 5))).strip()
        messages.append({"role": role, "content": content or text or "x"})
    return messages


def test_no_conversation_is_served_otherwise_than_trained(
    tokenizer: Tokenizer, tmp_path: Path
) -> None:
    chance = random.Random(5)
    path = tmp_path / "chats.jsonl"
    given = [conversation(chance) for _ in range(CONVERSATIONS)]
    path.write_text("".join(json.dumps({"messages": one}) + "\n" for one in given))
    source = JsonlExamples(path=str(path))
    rows = [row for _, row in read_rows(source, "refuse", Drops(lambda text: None), set())]
    train = tmp_path / "train.jsonl"
    train.write_text("".join(json.dumps(row) + "\n" for row in rows))
    examples = tokenize_file(train, tokenizer, 10_000, "all_turns", {})
    assert len(examples) == CONVERSATIONS
    for messages, example in zip(given, examples, strict=True):
        body = json.dumps({"model": "m", "messages": messages[:-1]})
        asked = ChatCompletionRequest.model_validate_json(body).messages
        served = tokenizer.encode_chat([one.for_template() for one in asked], True)
        ids = example.ids.tolist()
        assert ids[: len(served)] == served
        assert example.trained[len(served)]
        ends = [
            bool(trained)
            for id, trained in zip(ids, example.trained, strict=True)
            if id == tokenizer.message_end
        ]
        assert ends == [message["role"] == "assistant" for message in messages]
