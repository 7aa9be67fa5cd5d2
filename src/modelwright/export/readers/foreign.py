"""Reads an export in another library and says what it makes of texts and tokens.

Run as a file by an interpreter that has the library, which need not have Modelwright:

    PYTHON foreign.py LIBRARY EXPORT REQUEST.json ANSWER.npz

The request has ``texts`` (pairs of a text and how it is read: ``plain``, ``special`` where control
tokens are recognised, ``start`` for the beginning of a prompt), ``chats`` (``messages``,
``add_generation_prompt``), ``sequences`` of token ids, and ``threads``. The answer has ``ids`` of
all texts and then all chats in a row (int32), their ``lengths``, ``logits`` of all sequences in a
row (positions, vocabulary) float32, and ``version``.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import sys
from typing import Any

import numpy as np

Answer = tuple[list[list[int]], list[Any]]
"""Ids of each text and chat, and logits (positions, vocabulary) of each sequence."""


def llama_cpp(path: str, request: dict[str, Any]) -> Answer:
    """llama.cpp, by llama-cpp-python; keys and values are kept in float32."""
    from llama_cpp import GGML_TYPE_F32, Llama
    from llama_cpp.llama_chat_format import Jinja2ChatFormatter

    longest = max(map(len, request["sequences"]))
    llama = Llama(
        path,
        n_ctx=longest,
        n_batch=longest,
        n_threads=request["threads"],
        n_gpu_layers=0,
        logits_all=True,
        flash_attn=False,
        type_k=GGML_TYPE_F32,
        type_v=GGML_TYPE_F32,
        verbose=False,
    )

    def encode(text: str, how: str) -> list[int]:
        special = how == "special"
        return list(llama.tokenize(text.encode(), add_bos=how == "start", special=special))

    def token(key: str) -> str:
        id = int(llama.metadata.get(f"tokenizer.ggml.{key}_token_id", -1))
        return llama.detokenize([id], special=True).decode() if id >= 0 else ""

    ids = [encode(text, how) for text, how in request["texts"]]
    for chat in request["chats"]:
        formatter = Jinja2ChatFormatter(
            llama.metadata["tokenizer.chat_template"],
            eos_token=token("eos"),
            bos_token=token("bos"),
            add_generation_prompt=chat["add_generation_prompt"],
        )
        ids.append(encode(formatter(messages=chat["messages"]).prompt, "special"))
    logits = []
    for sequence in request["sequences"]:
        llama.reset()
        llama.eval(sequence)
        logits.append(np.array(llama.scores[: len(sequence)], dtype=np.float32))
    return ids, logits


def transformers(path: str, request: dict[str, Any]) -> Answer:
    """A folder, or a GGUF file, in ``transformers``, in float32 on the CPU."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(request["threads"])
    folder, name = os.path.split(path) if path.endswith(".gguf") else (path, None)
    given = {} if name is None else {"gguf_file": name}
    tokenizer = AutoTokenizer.from_pretrained(folder, **given)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **given)

    def encode(text: str, how: str) -> list[int]:
        encoded = tokenizer(
            text, add_special_tokens=how == "start", split_special_tokens=how != "special"
        )
        return list(encoded["input_ids"])

    ids = [encode(text, how) for text, how in request["texts"]]
    for chat in request["chats"]:
        asks = chat["add_generation_prompt"]
        text = tokenizer.apply_chat_template(
            chat["messages"], add_generation_prompt=asks, tokenize=False
        )
        ids.append(encode(str(text), "special"))
    with torch.no_grad():
        logits = [model(torch.tensor([one])).logits[0].numpy() for one in request["sequences"]]
    return ids, logits


def onnxruntime(path: str, request: dict[str, Any]) -> Answer:
    """A folder with a graph in ONNX Runtime, its tokenizer in ``tokenizers``."""
    from onnxruntime import InferenceSession, SessionOptions
    from tokenizers import Tokenizer

    options = SessionOptions()
    options.intra_op_num_threads = request["threads"]
    session = InferenceSession(
        os.path.join(path, "model.onnx"), options, providers=["CPUExecutionProvider"]
    )
    tokenizer = Tokenizer.from_file(os.path.join(path, "tokenizer.json"))

    def encode(text: str, how: str) -> list[int]:
        tokenizer.encode_special_tokens = how != "special"
        return list(tokenizer.encode(text, add_special_tokens=how == "start").ids)

    ids = [encode(text, how) for text, how in request["texts"]]
    # Together where they are of one length: the batch has to be free, too.
    rows = [np.array([one], dtype=np.int64) for one in request["sequences"]]
    if len({row.shape for row in rows}) == 1:
        return ids, list(session.run(None, {"input_ids": np.concatenate(rows)})[0])
    return ids, [session.run(None, {"input_ids": row})[0][0] for row in rows]


LIBRARIES = {
    "llama-cpp-python": llama_cpp,
    "transformers": transformers,
    "onnxruntime": onnxruntime,
}


def main() -> None:
    """Read, answer, write."""
    library, path, request_path, answer_path = sys.argv[1:]
    with open(request_path, encoding="utf-8") as file:
        request = json.load(file)
    ids, logits = LIBRARIES[library](path, request)
    np.savez(
        answer_path,
        ids=np.array([id for one in ids for id in one], dtype=np.int32),
        lengths=np.array([len(one) for one in ids], dtype=np.int32),
        logits=np.concatenate(logits).astype(np.float32),
        version=importlib.metadata.version(library),
    )


if __name__ == "__main__":
    main()
