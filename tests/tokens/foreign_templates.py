"""Chat templates in the manner of public ones, and tokenizers that know their control tokens."""

from __future__ import annotations

import json
from pathlib import Path

from public_models import LLAMA, QWEN3, write_public_tokenizer
from tokenizers import Tokenizer as HuggingFaceTokenizer

THINKING = """\
{%- set last = namespace(question=-1) %}
{%- for m in messages %}
    {%- if m.role == 'user' %}
        {%- set last.question = loop.index0 %}
    {%- endif %}
{%- endfor %}
{%- if tools %}
    {{- '<|im_start|>system\\nTools:' }}
    {%- for tool in tools %}
        {{- '\\n' + tool | tojson }}
    {%- endfor %}
    {{- '<|im_end|>\\n' }}
{%- endif %}
{%- for m in messages %}
    {%- if m.role == 'assistant' %}
        {%- set text = m.content %}
        {%- set thought = m.reasoning_content or '' %}
        {%- if '</think>' in text %}
            {%- set thought = text.split('</think>')[0].split('<think>')[-1].strip() %}
            {%- set text = text.split('</think>')[-1].lstrip('\\n') %}
        {%- endif %}
        {{- '<|im_start|>assistant\\n' }}
        {%- if loop.index0 > last.question %}
            {{- '<think>\\n' + thought + '\\n</think>\\n\\n' }}
        {%- endif %}
        {{- text }}
        {%- for call in m.tool_calls or [] %}
            {{- '\\n' if text or not loop.first else '' }}
            {{- '<tool_call>\\n{"name": "' + call.function.name + '", "arguments": ' }}
            {{- call.function.arguments | tojson + '}\\n</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>\\n' }}
    {%- elif m.role == 'tool' %}
        {{- '<|im_start|>user\\n<tool_response>\\n' + m.content }}
        {{- '\\n</tool_response><|im_end|>\\n' }}
    {%- else %}
        {{- '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and not enable_thinking %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}
"""
"""As Qwen3's: it looks for thoughts in what the assistant says, and forgets old ones."""

HEADERS = """\
{{- bos_token }}
{%- set year = strftime_now('%Y') if strftime_now is defined else '?' %}
{%- for m in messages %}
    {%- if m.role == 'system' and not loop.first %}
        {{- raise_exception('the system speaks first') }}
    {%- endif %}
    {{- '<|start_header_id|>' + ('ipython' if m.role == 'tool' else m.role) }}
    {{- '<|end_header_id|>\\n\\n' }}
    {%- if m.role == 'system' %}
        {{- 'Year: ' + year + '\\n' }}
    {%- elif m.role == 'user' and loop.first %}
        {%- for tool in tools or [] %}
            {%- if loop.index > 2 %}
                {%- break %}
            {%- endif %}
            {{- tool | tojson(indent=4) + '\\n' }}
        {%- endfor %}
    {%- endif %}
    {{- m.content | trim }}
    {%- for call in m.tool_calls or [] %}
        {{- {'name': call.function.name, 'parameters': call.function.arguments} | tojson }}
    {%- endfor %}
    {{- '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
"""
"""As Llama 3's: names of who speaks, the date, white space taken off."""

MORE_TOKENS = {
    THINKING: [
        "<think>",
        "</think>",
        "<tool_call>",
        "</tool_call>",
        "<tool_response>",
        "</tool_response>",
    ],
    HEADERS: ["<|eot_id|>", "<|python_tag|>"],
}
TRAINING = ["It's 12345 o'clock,  isn't it?\r\n\r\n  Ja!\tДа… 你好 ÀÉ x=1;y", "a  1 b   22 c\n 3"]


def write_foreign_tokenizer(template: str, folder: Path) -> Path:
    """A tokenizer with a template of these and the control tokens that it writes."""
    folder.mkdir()
    write_public_tokenizer(QWEN3 if template == THINKING else LLAMA, folder, TRAINING * 5)
    path = folder / "tokenizer.json"
    tokenizer = HuggingFaceTokenizer.from_file(str(path))
    tokenizer.add_tokens(MORE_TOKENS[template])
    tokenizer.save(str(path))
    config = json.loads((folder / "tokenizer_config.json").read_text())
    config["chat_template"] = template
    if template == HEADERS:
        config["eos_token"] = "<|eot_id|>"
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder
