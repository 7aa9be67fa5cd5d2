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
        self._by_name = dict[str, ServedModel]()
        for model in models:
            self._add(model.name, model)
        for alias, name in (aliases or {}).items():
            if name not in self._by_name:
                raise UsageError(
                    f"the alias '{alias}' stands for '{name}', which is not served",
                    fix=f"served are: {', '.join(self._by_name)}",
                )
            self._add(alias, self._by_name[name])

    def _add(self, name: str, model: ServedModel) -> None:
        if name in self._by_name:
            raise UsageError(f"two models are to be called '{name}'", fix="give them other names")
        self._by_name[name] = model

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
