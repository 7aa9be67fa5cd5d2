"""Lines of code of alignment and adapters, ours beside TRL's and PEFT's.

python benchmarks/alignment/lines.py [--json FILE]

Counts physical lines that hold code: neither blank, nor comment, nor part of a docstring. TRL and
PEFT must be installed. Their files are those of the methods that we have; what they share with
others (TRL's ``utils``, PEFT's ``tuners_utils``) counts too, as what ours share does.
"""

from __future__ import annotations

import argparse
import ast
import importlib.metadata
import importlib.util
import json
import tokenize
from dataclasses import asdict, dataclass
from pathlib import Path

NO_CODE = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
}


@dataclass(frozen=True)
class Part:
    """Files of a package that belong together; folders count with all below them."""

    what: str
    package: str
    paths: tuple[str, ...]


PARTS = (
    Part("losses and objectives", "modelwright", ("training/losses", "training/objectives")),
    Part(
        "stages, pairs, labels, packing",
        "modelwright",
        (
            "training/alignment",
            "training/finetune.py",
            "training/batches.py",
            "training/examples.py",
            "training/labelled.py",
            "training/packing.py",
            "training/pairs.py",
            "training/reference.py",
            "training/sequences.py",
            "training/tokenized.py",
            "models/policy_with_value.py",
            "models/sequence_classifier.py",
        ),
    ),
    Part("rollouts", "modelwright", ("training/reinforcement",)),
    Part("rewards", "modelwright", ("training/rewards",)),
    Part("the loop", "modelwright", ("training/loop.py", "training/fit.py")),
    Part("adapters", "modelwright", ("models/adapters", "training/adaptation.py")),
    Part(
        "NF4 and int8",
        "modelwright",
        (
            "models/quantization/base.py",
            "models/quantization/bitsandbytes_format.py",
            "models/quantization/double_quantization.py",
            "models/quantization/int8.py",
            "models/quantization/linear.py",
            "models/quantization/nf4.py",
            "models/quantization/nf4_linear.py",
        ),
    ),
    Part(
        "SFT, DPO, KTO, reward model",
        "trl",
        (
            "trainer/sft_trainer.py",
            "trainer/sft_config.py",
            "trainer/dpo_trainer.py",
            "trainer/dpo_config.py",
            "trainer/kto_trainer.py",
            "trainer/kto_config.py",
            "trainer/reward_trainer.py",
            "trainer/reward_config.py",
            "trainer/base_trainer.py",
            "trainer/base_config.py",
            "trainer/utils.py",
            "data_utils.py",
        ),
    ),
    Part("ORPO, CPO and SimPO", "trl", ("experimental/orpo", "experimental/cpo")),
    Part(
        "GRPO, RLOO",
        "trl",
        (
            "trainer/grpo_trainer.py",
            "trainer/grpo_config.py",
            "trainer/rloo_trainer.py",
            "trainer/rloo_config.py",
        ),
    ),
    Part("online DPO", "trl", ("experimental/online_dpo",)),
    Part("rewards", "trl", ("rewards",)),
    Part(
        "LoRA, DoRA, on bitsandbytes",
        "peft",
        (
            "tuners/lora/__init__.py",
            "tuners/lora/bnb.py",
            "tuners/lora/config.py",
            "tuners/lora/dora.py",
            "tuners/lora/layer.py",
            "tuners/lora/model.py",
            "tuners/lora/variants.py",
            "tuners/tuners_utils.py",
        ),
    ),
)


@dataclass(frozen=True)
class Count:
    """Of one part."""

    what: str
    package: str
    files: int
    lines: int


def main() -> None:
    """Count and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", type=Path, help="where to write all figures")
    arguments = parser.parse_args()
    counts = [count(part) for part in PARTS]
    print("| package | part | files | lines of code |", "| --- | --- | --- | --- |", sep="\n")
    for one in counts:
        print(f"| {one.package} | {one.what} | {one.files} | {one.lines:,} |")
    for package in dict.fromkeys(part.package for part in PARTS):
        own = [one for one in counts if one.package == package]
        version = importlib.metadata.version(package)
        files, lines = sum(one.files for one in own), sum(one.lines for one in own)
        print(f"| {package} {version} | together | {files} | {lines:,} |")
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(one) for one in counts], indent=1))


def count(part: Part) -> Count:
    """Files and lines of a part.

    Raises
    ------
    FileNotFoundError
        If a path of the part is not in the package.
    """
    spec = importlib.util.find_spec(part.package)
    if spec is None or spec.origin is None:
        raise FileNotFoundError(f"{part.package} is not installed")
    root, files = Path(spec.origin).parent, list[Path]()
    for name in part.paths:
        path = root / name
        found = sorted(path.rglob("*.py")) if path.is_dir() else [path]
        if not found or not found[0].is_file():
            raise FileNotFoundError(path)
        files += found
    return Count(part.what, part.package, len(files), sum(map(lines_of_code, files)))


def lines_of_code(path: Path) -> int:
    """Physical lines with code, without docstrings."""
    with open(path, "rb") as file:
        lines = {
            line
            for token in tokenize.tokenize(file.readline)
            if token.type not in NO_CODE
            for line in range(token.start[0], token.end[0] + 1)
        }
    return len(lines - docstring_lines(path))


def docstring_lines(path: Path) -> set[int]:
    """Lines of texts that stand alone as a statement: docstrings, of attributes too."""
    return {
        line
        for node in ast.walk(ast.parse(path.read_bytes()))
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }


if __name__ == "__main__":
    main()
