"""All names under which a server answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fastapi import Request

from modelwright.core.errors import UsageError
from modelwright.inference.backend import Backend
from modelwright.serving.api.responses import ModelCard
from modelwright.serving.api.served_model import ServedModel
from modelwright.serving.errors import ModelNotFoundError, either
from modelwright.serving.trace import trace_of


def check_names(names: Sequence[str], aliases: Mapping[str, str]) -> None:
    """Refuse names of models that are used twice, and aliases of what is not served.

    Raises
    ------
    UsageError
        If there is one.
    """
    known = list[str]()
    for name in [*names, *aliases]:
        if name in known:
            raise UsageError(f"two models are to be called '{name}'", fix="give them other names")
        is_alias = len(known) >= len(names)
        if is_alias and aliases[name] not in known:  # a model, or an alias before this one
            raise UsageError(
                f"the alias '{name}' stands for '{aliases[name]}', which is not served",
                fix=f"served are: {', '.join(known)}",
            )
        known.append(name)


class ServedModels:
    """The models of a server by name and alias.

    Parameters
    ----------
    models : sequence of ServedModel
        At least one; the first answers where no name is given.
    aliases : mapping of str to str, optional
        Other names, and the models that they stand for.

    Raises
    ------
    UsageError
        If a name is used twice, or an alias stands for nothing.
    """

    def __init__(self, models: Sequence[ServedModel], aliases: Mapping[str, str] | None = None):
        self.first = models[0]
        check_names([model.name for model in models], aliases or {})
        self._by_name = {model.name: model for model in models}
        for alias, name in (aliases or {}).items():
            self._by_name[alias] = self._by_name[name]

    def find(self, name: str) -> ServedModel:
        """The model of that name or alias.

        Raises
        ------
        ModelNotFoundError
            If there is none.
        """
        found = self._by_name.get(name)
        if found is None:
            raise ModelNotFoundError(
                f"the model '{name}' does not exist here", fix=f"use {either(self.names)}"
            )
        return found

    def of(self, request: Request, name: str | None) -> ServedModel:
        """The model that a request asks for, by default the first one; raises as :meth:`find`."""
        found = self.first if name is None else self.find(name)
        trace_of(request).model = found.name
        return found

    @property
    def names(self) -> list[str]:
        """All names, aliases last."""
        return list(self._by_name)

    def cards(self) -> list[ModelCard]:
        """All names as the list of models shows them, aliases last."""
        return [model.card(name) for name, model in self._by_name.items()]

    @property
    def engines(self) -> dict[str, Backend]:
        """Each engine once, by the name of the first model that it has."""
        found = dict[str, Backend]()
        for model in self._by_name.values():
            if model.background not in found.values():
                found[model.name] = model.background
        return found

    @property
    def are_running(self) -> bool:
        """Whether every engine takes work."""
        return all(engine.is_running for engine in self.engines.values())
