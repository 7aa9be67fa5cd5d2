"""The template in Go's language says what the model's own says."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from exported_models import MakeModel

from modelwright.core.errors import InputError
from modelwright.export.gate_strings import CHATS
from modelwright.export.ollama import as_go_renders, go_template, write_modelfile
from modelwright.tokens.tokenizer import Tokenizer

RENDER = """\
package main

import (
	"encoding/json"
	"os"
	"strings"
	"text/template"
)

type message struct{ Role, Content string }

func main() {
	var asked struct {
		Template string
		Chats    [][]message
	}
	if err := json.NewDecoder(os.Stdin).Decode(&asked); err != nil {
		panic(err)
	}
	parsed := template.Must(template.New("").Option("missingkey=zero").Parse(asked.Template))
	said := []string{}
	for _, chat := range asked.Chats {
		var out strings.Builder
		if err := parsed.Execute(&out, map[string]any{"Messages": chat}); err != nil {
			panic(err)
		}
		said = append(said, out.String())
	}
	json.NewEncoder(os.Stdout).Encode(said)
}
"""
"""Go's own engine with the options that Ollama gives it."""

WORDS = [("<|im_start|>", "<|im_end|>"), ("### ", "<|endoftext|>")]


def test_go_renders_it_as_we_say_it_does(tmp_path: Path) -> None:
    if shutil.which("go") is None:
        pytest.skip("Go is not installed")
    (tmp_path / "render.go").write_text(RENDER)
    program = tmp_path / "render"
    subprocess.run(["go", "build", "-o", program, tmp_path / "render.go"], check=True)
    for start, end in WORDS:
        asked = json.dumps({"Template": go_template(start, end), "Chats": CHATS})
        done = subprocess.run([program], input=asked, capture_output=True, text=True, check=True)
        assert json.loads(done.stdout) == [as_go_renders(chat, start, end) for chat in CHATS]


def test_a_modelfile_has_the_template_between_quotes(make_model: MakeModel, tmp_path: Path) -> None:
    tokenizer = Tokenizer.load(make_model("qwen3"))
    write_modelfile(tokenizer, 128, "model.gguf", tmp_path)
    text = (tmp_path / "Modelfile").read_text()
    assert f'TEMPLATE """{go_template(*WORDS[0])}"""' in text
    assert "PARAMETER num_ctx 128" in text


@pytest.mark.parametrize(
    "change",
    [("'\\n' + message['content']", "message['content']"), ("assistant\\n", "assistant:")],
)
def test_another_template_is_refused(
    make_model: MakeModel, tmp_path: Path, change: tuple[str, str]
) -> None:
    shutil.copytree(make_model("qwen3"), tmp_path / "model")
    path = tmp_path / "model" / "chat_template.jinja"
    changed = path.read_text().replace(*change)
    assert changed != path.read_text()
    path.write_text(changed)
    with pytest.raises(InputError, match="cannot be written for Ollama"):
        write_modelfile(Tokenizer.load(path.parent), 128, "model.gguf", tmp_path)
    assert not (tmp_path / "Modelfile").exists()
