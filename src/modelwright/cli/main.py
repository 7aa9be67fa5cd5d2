"""The ``modelwright`` command. Verbs are imported when they are used."""

from __future__ import annotations

import os
import sys

import click

from modelwright import __version__
from modelwright.cli.verbs import Verbs, suggestion
from modelwright.core.errors import ModelwrightError, from_os_error
from modelwright.core.ranks import are_several, is_follower

VERBS = {
    "demo": ("modelwright.cli.demo", "Build and chat with a model of Python's documentation"),
    "init": ("modelwright.cli.init", "Start a workspace with a recipe"),
    "run": ("modelwright.cli.run", "Bring a workspace up to date: run what is stale"),
    "show": ("modelwright.cli.show", "Show artifacts, runs, lineage or one manifest"),
    "runs": ("modelwright.cli.runs", "Training runs: a table, two compared, a page of curves"),
    "trace": ("modelwright.cli.trace", "From a document to models, from a model to documents"),
    "chat": ("modelwright.cli.chat", "Talk to a model in the terminal"),
    "serve": ("modelwright.cli.serve", "Serve a model: OpenAI-compatible API and chat page"),
    "keys": ("modelwright.cli.keys", "Keys of a server: create, list, revoke"),
    "compare": ("modelwright.cli.compare", "Compare two models' answers blind, side by side"),
    "feedback": ("modelwright.cli.feedback", "What people think of answers: import, export, stats"),
    "data": ("modelwright.cli.data", "Look into data: report, look, examples, judge, classifier"),
    "collect": ("modelwright.cli.stage", "Stage: read documents"),
    "annotate": ("modelwright.cli.stage", "Stage: score documents, find near-duplicates"),
    "prepare": ("modelwright.cli.stage", "Stage: filter, deduplicate, redact, split"),
    "examples": ("modelwright.cli.stage", "Stage: gather questions and answers"),
    "dial": ("modelwright.cli.stage", "Stage: choose sizes and rates for a budget"),
    "tokenizer": ("modelwright.cli.stage", "Stage: train a tokenizer"),
    "shards": ("modelwright.cli.stage", "Stage: encode text into token shards"),
    "pretrain": ("modelwright.cli.stage", "Stage: train a model on text"),
    "finetune": ("modelwright.cli.stage", "Stage: teach a model to answer"),
    "preferences": ("modelwright.cli.stage", "Stage: gather pairs, labels or prompts to align to"),
    "reward": ("modelwright.cli.stage", "Stage: train a reward model"),
    "align": ("modelwright.cli.stage", "Stage: align a model to preferences or rewards"),
    "merge": ("modelwright.cli.stage", "Stage: merge an adapter into its model"),
    "compress": ("modelwright.cli.stage", "Stage: quantize or prune a model"),
    "export": ("modelwright.cli.export", "Stage: export a model for llama.cpp, vLLM, Ollama, ONNX"),
    "evaluate": ("modelwright.cli.stage", "Stage: measure a model"),
}
"""Module and one line of help by verb; the module has ``command`` or ``command_for(verb)``."""


@click.group(cls=Verbs, verbs=VERBS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="modelwright")
def modelwright() -> None:
    """Build a language model of your own and look after it.

    Start with 'modelwright demo', or with 'modelwright init' in an empty folder.
    """


def main() -> None:
    """Run the command line; every error becomes a few plain lines and an exit code.

    0 is done, 1 failed, 2 wrong use.
    """
    # Read by OpenMP when torch is loaded: how long its threads spin while they wait. Long spinning
    # next to another busy program makes training many times slower (docs/experiments.md).
    os.environ.setdefault("GOMP_SPINCOUNT", "2000")
    try:
        _main()
    except ModelwrightError as error:
        _fail(str(error), error.exit_code)
    except click.Abort:
        _fail("stopped; run the same command again to go on", 1)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        sys.exit(2)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "modelwright"
        _fail(f"{_explain(error)}\n  to do: see '{command} --help'", 2)
    except click.ClickException as error:
        _fail(error.format_message(), error.exit_code)
    except KeyboardInterrupt:
        _fail("stopped; run the same command again to go on", 130)
    except BrokenPipeError:
        sys.exit(0)
    except OSError as error:
        _fail(str(from_os_error(error)), 1)


def _main() -> None:
    if not are_several():
        modelwright.main(prog_name="modelwright", standalone_mode=False)
        return
    from modelwright.pipeline.ranks import follow, leading

    if is_follower():
        follow()
    else:
        with leading():
            modelwright.main(prog_name="modelwright", standalone_mode=False)


def _fail(message: str, exit_code: int) -> None:
    if is_follower():  # the leader says the same
        sys.exit(exit_code)
    click.secho("error: ", fg="red", bold=True, nl=False, err=True)
    click.echo(message, err=True)
    sys.exit(exit_code)


def _explain(error: click.UsageError) -> str:
    if not isinstance(error, click.NoSuchOption) or error.ctx is None:
        return error.format_message()
    parameters = error.ctx.command.get_params(error.ctx)
    known = [name for one in parameters for name in (*one.opts, *one.secondary_opts)]
    return f"no option '{error.option_name}'{suggestion(error.option_name, known)}"
