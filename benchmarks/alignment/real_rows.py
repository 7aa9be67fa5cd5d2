"""Public data as files of examples in the shapes that Modelwright reads.

    python benchmarks/alignment/real_rows.py ../shared/data rows

Most sets need no more than other names for their fields (``SOURCES``); two are rewritten: dialogues
with calls of services, and pairs that people judged. What is left out is counted and printed.
"""

from __future__ import annotations

import gzip
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

Row = dict[str, Any]

ASKED_AND_ANSWERED = {"instruction": "instruction", "output": "response"}
CHECKED = {"prompt": "question", "answer": "answer"}
SOURCES: dict[str, Row] = {
    "dolly_short/train": {"fields": ASKED_AND_ANSWERED},
    "prompted_tasks/train": {"fields": ASKED_AND_ANSWERED},
    "hh_harmless/pairs": {},
    "checkable_tasks/svamp": {"fields": CHECKED, "chat": True},
    "checkable_tasks/simple_arithmetic_nospaces": {"fields": CHECKED, "chat": True},
    "checkable_tasks/simple_arithmetic_withspaces": {"fields": CHECKED, "chat": True},
    "checkable_tasks/bigbench_operators": {"fields": CHECKED, "chat": True},
    "checkable_tasks/bigbench_cs_algorithms": {"fields": CHECKED, "chat": True},
    "checkable_tasks/bigbench_dyck_languages": {"fields": CHECKED, "chat": True},
    "gsm8k/train": {"fields": {"prompt": "question", "answer": "final"}, "chat": True},
    "gsm8k/model_solutions": {
        "fields": {"prompt": "question", "completion": "solution", "label": "is_correct"},
        "chat": True,
    },
}
"""Settings of a source of kind jsonl, by file."""


def read(folder: Path, name: str) -> Iterator[Row]:
    """The rows of a set as they are stored."""
    with gzip.open(folder / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
        yield from map(json.loads, file)


def service_tools(services: dict[str, Row], names: list[str]) -> list[Row]:
    """The intents of services as definitions of tools."""
    return [
        _tool(intent, {slot["name"]: slot for slot in services[name]["slots"]})
        for name in names
        for intent in services[name]["intents"]
    ]


def _tool(intent: Row, slots: dict[str, Row]) -> Row:
    properties = {}
    for name in [*intent["required_slots"], *intent["optional_slots"]]:
        properties[name] = {"type": "string", "description": slots[name]["description"]}
        if slots[name]["is_categorical"]:
            properties[name]["enum"] = slots[name]["possible_values"]
    parameters = {
        "type": "object",
        "properties": properties,
        "required": list(intent["required_slots"]),
    }
    function = {"name": intent["name"], "description": intent["description"]}
    return {"type": "function", "function": {**function, "parameters": parameters}}


def dialogue_with_calls(row: Row, services: dict[str, Row]) -> Row:
    """A dialogue whose calls and results are messages of their own, before what is said of them."""
    messages: list[Row] = []
    for turn in row["turns"]:
        for call in turn.get("calls", []):
            function = {"name": call["method"], "arguments": call["parameters"]}
            calls = [{"type": "function", "function": function}]
            messages.append({"role": "assistant", "content": "", "tool_calls": calls})
            found = {"found": call["n_results"], "results": call["results"]}
            result = json.dumps(found, ensure_ascii=False)
            messages.append({"role": "tool", "name": call["method"], "content": result})
        messages.append({"role": turn["role"], "content": turn["text"]})
    return {"messages": messages, "tools": service_tools(services, row["services"])}


def judged_pair(row: Row) -> Row | None:
    """Two answers of which most judges liked one better; None if they did not."""
    if row["label"] not in (1, 2):
        return None
    answers = {1: row["response_1"], 2: row["response_2"]}
    asked = "\n".join(part for part in (row["instruction"], row["input"]) if part)
    chosen, rejected = answers[row["label"]], answers[3 - row["label"]]
    return {
        "prompt": [{"role": "user", "content": asked}],
        "chosen": [{"role": "assistant", "content": chosen}],
        "rejected": [{"role": "assistant", "content": rejected}],
    }


def rewritten(folder: Path) -> dict[str, Callable[[], Iterator[Row | None]]]:
    """What is rewritten, by file; None stands for a row that cannot be."""
    services = {row["service_name"]: row for row in read(folder, "task_dialogues/services")}

    def dialogues(part: str) -> Iterator[Row | None]:
        for row in read(folder, f"task_dialogues/{part}"):
            known = all(name in services for name in row["services"])
            yield dialogue_with_calls(row, services) if known else None

    return {
        "task_dialogues/train": lambda: dialogues("train"),
        "task_dialogues/test": lambda: dialogues("test"),
        "pandalm/pairs": lambda: map(judged_pair, read(folder, "pandalm/pairs")),
    }


def main() -> None:
    """Write one ``.jsonl`` for every set that is rewritten."""
    folder, out = Path(sys.argv[1]), Path(sys.argv[2])
    for name, rows in rewritten(folder).items():
        path = out / f"{name.replace('/', '_')}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        counts = Counter[str]()
        with open(path, "w", encoding="utf-8") as file:
            for row in rows():
                counts["written" if row else "left out"] += 1
                if row:
                    file.write(json.dumps(row, ensure_ascii=False) + "\n")
        print(f"{path}: {dict(counts)}")


if __name__ == "__main__":
    main()
