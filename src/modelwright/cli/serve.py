"""``modelwright serve``: models behind an OpenAI-shaped API and a chat page."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from modelwright.core.errors import InputError, UsageError

if TYPE_CHECKING:
    from modelwright.monitoring.request_recorder import RequestRecorder
    from modelwright.serving.access.keys import KeyFile
    from modelwright.serving.hand_over.vllm_process import VllmOptions
    from modelwright.serving.opening import ServeOptions

VLLM_ONLY = ("vllm", "vllm_args", "vllm_log")
RAY_ONLY = ("replicas", "ray_address", "replica_cpus", "replica_gpus")
OURS_ONLY = (
    "models", "adapters", "weights", "speculate", "draft", "step_tokens", "cache_tokens",
    "cache_format",
)  # fmt: skip
"""Options, by the engine that takes them."""


def _pairs(form: str) -> Any:
    """Makes a callback that reads NAME=VALUE, repeated; ``form`` is what is shown of it."""

    def read(
        context: click.Context, option: click.Parameter, given: Sequence[str]
    ) -> dict[str, str]:
        found = dict[str, str]()
        for one in given:
            name, _, value = one.partition("=")
            if not (name and value):
                raise click.BadParameter(f"'{one}' is not {form}")
            if name in found:
                raise click.BadParameter(f"'{name}' is given twice")
            found[name] = value
        return found

    return read


@click.command("serve")
@click.argument("model", required=False)
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="NAME=MODEL",
    callback=_pairs("NAME=MODEL"),
    help="Another model and what clients call it; may be repeated.",
)
@click.option(
    "--alias",
    "aliases",
    multiple=True,
    metavar="ALIAS=NAME",
    callback=_pairs("ALIAS=NAME"),
    help="Another name for a model; may be repeated.",
)
@click.option(
    "--adapter",
    "adapters",
    multiple=True,
    metavar="NAME=FOLDER",
    callback=_pairs("NAME=FOLDER"),
    help="An adapter of MODEL and what clients call it; may be repeated.",
)
@click.option(
    "--weights",
    type=click.Choice(["auto", "model", "float32", "bfloat16", "int8", "int4"]),
    default="auto",
    show_default=True,
    help="How the weights are kept on a CPU: as they were saved (auto), or rounded; 'model' runs "
    "plain PyTorch.",
)
@click.option(
    "--speculate",
    type=click.IntRange(0, 64),
    metavar="TOKENS",
    help="Tokens that are guessed ahead, where a text repeats itself or by the --draft model.  "
    "[default: 4 with --draft, else 0]",
)
@click.option(
    "--draft",
    metavar="MODEL",
    help="A smaller model with the same tokenizer, which guesses ahead for MODEL: the same texts, "
    "sooner.",
)
@click.option(
    "--max-sequences",
    type=click.IntRange(1),
    default=16,
    show_default=True,
    help="Most texts of a model that are generated at once; more wait.",
)
@click.option(
    "--step-tokens",
    type=click.IntRange(1),
    help="Most tokens of a step; fewer keep answers flowing while long prompts come in.  "
    "[default: 128 with the CPU kernels, 2048 on CUDA, else 512]",
)
@click.option(
    "--cache-tokens",
    type=click.IntRange(1),
    help="Tokens whose keys and values are kept.  [default: for all texts that run, at full "
    "length, or half of the free memory]",
)
@click.option(
    "--cache-format",
    type=click.Choice(["full", "int8"]),
    default="full",
    show_default=True,
    help="How keys and values are kept: as they are, or rounded, in about a quarter of the memory "
    "(on a CPU).",
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Where it is reached; from other machines only with keys.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    help="Where to listen; 0 takes any free port.",
)
@click.option("--open/--no-open", "open_browser", default=False, help="Open the chat page.")
@click.option(
    "--name", help="What clients call MODEL.  [default: the recipe's or the folder's name]"
)
@click.option(
    "--keys",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Who may use it, made by 'modelwright keys'.  [default: the workspace's keys.json, if it "
    "is there]",
)
@click.option(
    "--max-waiting",
    type=click.IntRange(0),
    default=64,
    show_default=True,
    help="Most texts of a model that wait; more are refused.",
)
@click.option(
    "--deadline",
    type=click.FloatRange(0, min_open=True),
    help="Seconds that a request may wait and run.  [default: no end]",
)
@click.option(
    "--keep-alive",
    type=click.FloatRange(0.1),
    default=15.0,
    show_default=True,
    help="Seconds of silence after which a stream says that it is still there.",
)
@click.option(
    "--drain-seconds",
    type=click.FloatRange(0),
    default=30.0,
    show_default=True,
    help="How long running requests may take after Ctrl-C or SIGTERM.",
)
@click.option(
    "--log",
    type=click.Choice(["json", "text", "off"]),
    help="A line for each request on standard error.  [default: text on a terminal, else json]",
)
@click.option("--log-prompts", is_flag=True, help="Put prompts and answers into the lines of JSON.")
@click.option(
    "--log-requests",
    type=click.FloatRange(0, 1),
    default=0.0,
    show_default=True,
    metavar="SHARE",
    help="Keep this share of the requests and answers, without personal data, in the workspace's "
    "database.",
)
@click.option(
    "--on",
    "place",
    type=click.Choice(["here", "ray"]),
    default="here",
    show_default=True,
    help="Where it runs: in this process, or on Ray Serve with several replicas.",
)
@click.option(
    "--replicas",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Servers behind the address, with --on ray.",
)
@click.option(
    "--ray-address",
    metavar="ADDRESS",
    help="A Ray cluster: HOST:PORT, ray://HOST:PORT or auto.  [default: a new one, here]",
)
@click.option(
    "--replica-cpus",
    type=click.IntRange(1),
    help="Cores of each replica.  [default: its share of this machine's]",
)
@click.option(
    "--replica-gpus",
    type=click.FloatRange(0),
    default=0.0,
    show_default=True,
    help="GPUs of each replica.",
)
@click.option(
    "--engine",
    type=click.Choice(["modelwright", "vllm"]),
    default="modelwright",
    show_default=True,
    help="What runs the model; vllm has its own environment.",
)
@click.option(
    "--vllm",
    type=click.Path(path_type=Path),
    envvar="MODELWRIGHT_VLLM",
    metavar="PYTHON",
    help="Python of the environment that has vLLM, also as MODELWRIGHT_VLLM.  [default: that of "
    "'vllm' on the PATH]",
)
@click.option("--vllm-args", default="", metavar="TEXT", help="More options for vLLM, as one text.")
@click.option(
    "--vllm-log",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where vLLM's output goes.  [default: a temporary file, which is named]",
)
def command(
    model: str | None,
    models: dict[str, str],
    aliases: dict[str, str],
    adapters: dict[str, str],
    draft: str | None,
    host: str,
    port: int,
    name: str | None,
    keys: Path | None,
    **given: Any,
) -> None:
    """Serve MODEL: chat page and OpenAI-shaped API on this machine.

    MODEL is a model folder, an artifact's id or a stage; without it, the recipe's model. With
    --model alone, or besides MODEL, one server has several.
    """
    from modelwright.cli.feedback import chat_feedback
    from modelwright.pipeline.current import find_model
    from modelwright.serving.api.limits import Limits
    from modelwright.serving.opening import ServeOptions
    from modelwright.serving.server import serve

    _check_engine(click.get_current_context())
    on_ray = given["place"] == "ray"
    folders = _folders(model, name, models)
    with ExitStack() as stack:
        share = given["log_requests"]
        # On Ray each replica opens its own.
        recorder = stack.enter_context(_recorder(share)) if share and not on_ray else None
        feedback = None if on_ray else stack.enter_context(chat_feedback())
        options = ServeOptions(
            aliases=aliases,
            adapters={name: _adapter(name, folder) for name, folder in adapters.items()},
            weights=given["weights"],
            speculate=given["speculate"],
            draft=None if draft is None else find_model(Path.cwd(), draft).folder,
            max_sequences=given["max_sequences"],
            step_tokens=given["step_tokens"],
            cache_tokens=given["cache_tokens"],
            cache_format=given["cache_format"],
            keys=_keys(keys),
            max_waiting=given["max_waiting"],
            limits=Limits(deadline=given["deadline"], keep_alive=given["keep_alive"]),
            drain_seconds=given["drain_seconds"],
            log=given["log"],
            log_prompts=given["log_prompts"],
            recorder=recorder,
            feedback=feedback,
            open_browser=given["open_browser"],
            vllm=_vllm(given) if given["engine"] == "vllm" else None,
        )
        if on_ray:
            _serve_on_ray(folders, host, port, options, given)
        else:
            serve(folders, host, port, options)


def _check_engine(context: click.Context) -> None:
    """Refuse options of one engine where the other one runs the model."""
    engine = context.params["engine"]
    given = ParameterSource.COMMANDLINE
    for name in VLLM_ONLY if engine == "modelwright" else OURS_ONLY:
        if context.get_parameter_source(name) is given:
            flag = {"models": "model", "adapters": "adapter"}.get(name, name).replace("_", "-")
            raise UsageError(f"--{flag} does not go with --engine {engine}", fix="leave it out")
    on_ray = context.params["place"] == "ray"
    if on_ray and engine != "modelwright":
        raise UsageError(
            f"--on ray does not go with --engine {engine}", fix="leave one of them out"
        )
    for name in () if on_ray else RAY_ONLY:
        if context.get_parameter_source(name) is given:
            flag = name.replace("_", "-")
            raise UsageError(f"--{flag} is of no use without --on ray", fix="leave it out")


def _serve_on_ray(
    folders: dict[str, Path], host: str, port: int, options: ServeOptions, given: dict[str, Any]
) -> None:
    from modelwright.core.workspace import find_workspace
    from modelwright.serving.access.keys import KeyFile
    from modelwright.serving.on_ray import RayOptions, serve_on_ray
    from modelwright.serving.ray_replica import ReplicaPlan

    workspace = None
    try:
        workspace = find_workspace(Path.cwd())
    except UsageError:  # a model's folder can be served anywhere, but requests are kept there
        if given["log_requests"]:
            raise
    # A replica may be started in another folder.
    found = {name: folder.resolve() for name, folder in folders.items()}
    options = replace(
        options,
        keys=None if options.keys is None else KeyFile(options.keys.path.resolve()),
        adapters={name: folder.resolve() for name, folder in options.adapters.items()},
        draft=None if options.draft is None else options.draft.resolve(),
    )
    ray_options = RayOptions(
        given["replicas"], given["ray_address"], given["replica_cpus"], given["replica_gpus"]
    )
    plan = ReplicaPlan(found, options, workspace, given["log_requests"])
    serve_on_ray(plan, host, port, ray_options)


def _vllm(given: dict[str, Any]) -> VllmOptions:
    from modelwright.serving.hand_over.vllm_process import VllmOptions

    return VllmOptions(given["vllm"], given["vllm_args"], given["vllm_log"])


def _recorder(share: float) -> RequestRecorder:
    """Writes into the database of the workspace around this folder."""
    from modelwright.core.workspace import find_workspace
    from modelwright.monitoring.request_recorder import open_recorder

    return open_recorder(find_workspace(Path.cwd()), share)


def _folders(model: str | None, name: str | None, more: dict[str, str]) -> dict[str, Path]:
    """Models' folders by name, that of the argument first."""
    from modelwright.pipeline.current import find_model

    found = dict[str, Path]()
    if model is not None or not more:
        first = find_model(Path.cwd(), model)
        if first.note:
            click.echo(first.note, err=True)
        found[name or first.name or first.folder.resolve().name] = first.folder
    elif name is not None:
        raise UsageError("--name is for MODEL, which is not given", fix="write --model NAME=MODEL")
    for own_name, path in more.items():
        if own_name in found:
            raise UsageError(f"two models are to be called '{own_name}'", fix="give another name")
        found[own_name] = find_model(Path.cwd(), path).folder
    return found


def _adapter(name: str, folder: str) -> Path:
    """The folder with an adapter's files."""
    from modelwright.models.adapters.peft_folder import CONFIG
    from modelwright.pipeline.given import open_given

    try:
        return open_given(Path(folder), "adapter").file(CONFIG).parent
    except InputError as error:
        raise InputError(
            f"--adapter {name}={folder}: {error.what}",
            where=error.where,
            fix=f"give the folder that has {CONFIG}, or a model that 'modelwright finetune "
            "--adapter' made",
        ) from None


def _keys(path: Path | None) -> KeyFile | None:
    """The keys that are given, or those of the workspace around this folder, if it has any."""
    from modelwright.cli.keys import FILE
    from modelwright.core.workspace import find_workspace
    from modelwright.serving.access.keys import KeyFile

    if path is not None:
        return KeyFile(path)
    with suppress(UsageError):  # a model's folder can be served anywhere
        path = find_workspace(Path.cwd()).root / FILE
    return KeyFile(path) if path is not None and path.is_file() else None
