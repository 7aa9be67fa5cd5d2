from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from exported_models import MakeModel, write_model


@pytest.fixture(scope="session")
def make_model(tmp_path_factory: pytest.TempPathFactory) -> MakeModel:
    """Makes models, each once; only to be read."""
    base, made = tmp_path_factory.mktemp("exported"), dict[str, Path]()

    def make(family: str, **changes: Any) -> Path:
        key = f"{family}-{json.dumps(changes, sort_keys=True, default=str)}"
        if key not in made:
            made[key] = write_model(base / str(len(made)), family, **changes)
        return made[key]

    return make


@pytest.fixture
def python_without_libraries(tmp_path: Path) -> Path:
    """An interpreter that has NumPy at most: none of the libraries that read exports."""
    path = tmp_path / "python"
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "$@"\n')
    path.chmod(0o755)
    return path
