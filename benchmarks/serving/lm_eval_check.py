"""lm-eval against our server over HTTP, and the same scores from the engine itself.

python benchmarks/serving/lm_eval_check.py MODEL --lm-eval PYTHON [--items 200]
    [--weights float32] [--threads 1]

Three tasks from local files: LAMBADA (log-likelihood of the last word), BLiMP (pairs), ARC-easy
(four choices). lm-eval (``pip install 'lm-eval[api]==0.4.13'`` in an environment of its own) asks
``/v1/completions`` for echoed log-probabilities of token ids, with the server's own tokenizer; its
log-likelihoods of every choice are compared with sums of ``Engine.score`` over the same tokens.
"""

from __future__ import annotations

import argparse
import gzip
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import torch

from modelwright.inference.engine import Engine

DATA = Path(__file__).parents[3] / "shared" / "data"
TASKS = {
    "lambada": ("lambada/test.jsonl.gz", "loglikelihood", "{{context}}", "{{' ' + answer}}", ""),
    "blimp": ("blimp/pairs.jsonl.gz", "multiple_choice", "", "0", "{{[good, bad]}}"),
    "arc_easy": (
        "eval_multiple_choice/arc_easy.jsonl.gz",
        "multiple_choice",
        "{{query + '\\nAnswer:'}}",
        "{{gold}}",
        "{{choices}}",
    ),
}
"""File, kind, and lm-eval's templates of text, target and choices."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)  # fmt: skip  # noqa: E501
    parser.add_argument("model", type=Path)
    parser.add_argument("--lm-eval", type=Path, required=True, help="the Python that has it")
    parser.add_argument("--items", type=int, default=200)
    parser.add_argument("--weights", default="float32")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    engine = Engine.load(given.model, weights=given.weights)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for name in TASKS:
            write_task(folder, name, given.items)
        with served(given.model, given.weights) as address:
            run_lm_eval(given.lm_eval, address, engine.context_length, folder)
        print(f"{'task':<10}{'items':>6}{'accuracy':>10}{'ours':>8}{'largest difference':>20}")
        for name in TASKS:
            print(compared(engine, folder, name), flush=True)


def write_task(folder: Path, name: str, items: int) -> None:
    file, kind, text, target, choices = TASKS[name]
    rows = folder / f"{name}.jsonl"
    with gzip.open(DATA / file, "rt", encoding="utf-8") as lines:
        rows.write_text("".join(islice(lines, items)), encoding="utf-8")
    task = {
        "task": f"local_{name}",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": str(rows)},
        "test_split": "train",
        "output_type": kind,
        "doc_to_text": text,
        "doc_to_target": int(target) if target.isdigit() else target,
        "metric_list": [{"metric": "acc"}],
    }
    if choices:
        task["doc_to_choice"] = choices
    if name == "blimp":
        task["target_delimiter"] = ""
    (folder / f"{name}.yaml").write_text(json.dumps(task), encoding="utf-8")


@contextmanager
def served(model: Path, weights: str) -> Iterator[str]:
    command = [sys.executable, "-m", "modelwright", "serve", str(model), "--port", "0"]
    flags = ["--name", "local", "--weights", weights, "--log", "off"]
    with subprocess.Popen([*command, *flags], stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            yield server.stdout.readline().split()[3]
        finally:
            server.terminate()


def run_lm_eval(python: Path, address: str, context: int, folder: Path) -> None:
    arguments = {
        "base_url": f"{address}/v1/completions",
        "model": "local",
        "tokenizer_backend": "remote",
        "max_length": context,
        "num_concurrent": 1,
    }
    command = [
        str(python), "-m", "lm_eval", "--model", "local-completions", "--model_args",
        ",".join(f"{key}={value}" for key, value in arguments.items()),
        "--tasks", ",".join(f"local_{name}" for name in TASKS), "--include_path", str(folder),
        "--batch_size", "8", "--log_samples", "--output_path", str(folder / "out"),
    ]  # fmt: skip
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=sys.stderr)


def compared(engine: Engine, folder: Path, name: str) -> str:
    """A line of the table."""
    path = next((folder / "out").rglob(f"samples_local_{name}_*.jsonl"))
    samples = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    worst, right = 0.0, 0
    for sample in samples:
        ours = []
        for pair in sample["arguments"].values():
            ours.append(log_likelihood(engine, pair["arg_0"], pair["arg_1"]))
        theirs = [float(one[0][0]) for one in sample["resps"]]
        worst = max(worst, *(abs(a - b[0]) for a, b in zip(theirs, ours, strict=True)))
        if len(ours) == 1:
            right += ours[0][1]
        else:
            best = max(range(len(ours)), key=lambda index: ours[index][0])
            right += best == int(sample["target"])
    accuracy = sum(sample["acc"] for sample in samples) / len(samples)
    return f"{name:<10}{len(samples):6}{accuracy:10.4f}{right / len(samples):8.4f}{worst:20.2e}"


def log_likelihood(engine: Engine, context: str, continuation: str) -> tuple[float, bool]:
    """Of a continuation, and whether each of its tokens was the likeliest; as lm-eval splits."""
    tokenizer = engine.tokenizer
    spaces = len(context) - len(context.rstrip())
    if spaces:
        context, continuation = context[:-spaces], context[-spaces:] + continuation
    if context:
        # Where the two would share a token, lm-eval keeps the context as it is alone.
        before = tokenizer.encode(context)
        start = len(before)
        whole = [*before, *tokenizer.encode(context + continuation)[start:]]
    else:
        whole = [tokenizer.end_of_text, *tokenizer.encode(continuation)]
        start = 1
    wanted = len(whole) - start
    kept = whole[1 - engine.context_length :]  # lm-eval leaves a place for the token it asks for
    start = len(kept) - wanted
    scores = engine.score([kept])[0][start - 1 :]
    hidden = engine.network.hidden_states_of([kept[:-1]])[0][start - 1 :]
    likeliest = engine.network.logits(hidden).argmax(dim=1).tolist()
    return float(scores.double().sum()), likeliest == kept[start:]


if __name__ == "__main__":
    main()
