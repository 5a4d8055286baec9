"""Which models the fleet serves, under which names clients may ask for them.

A model's id is its file's name without `.gguf`. It also answers to the file's
name, to the reference that the desired state gives (path, URL,
`repository/file@revision`), to the repository, and to the name in its
metadata; case does not matter. `default`, like a request without a model, means
the one that is served.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Sequence

from paddler.balancer.fleet.agents import AgentRecord
from paddler.balancer.fleet.fleet import Fleet
from paddler.balancer.services.openai.errors import ModelNotFound
from paddler.messages.link import ModelDescription

_PART = re.compile(r"-\d{5}-of-\d{5}$")


def model_id(reference: str) -> str:
    """The id of the model that `reference` (a path, a URL, a repository's file) names."""
    name = _file_name(reference)
    stem = name[: -len(".gguf")] if name.lower().endswith(".gguf") else name
    return _PART.sub("", stem) or reference


def _file_name(reference: str) -> str:
    return _without_revision(reference).partition("?")[0].replace("\\", "/").rpartition("/")[2]


def _without_revision(reference: str) -> str:
    if "://" in reference or reference.startswith("/"):
        return reference
    return reference.rpartition("@")[0] or reference


DEFAULT_MODEL = "default"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ServedModel:
    """A model that some agent serves now."""

    id: str
    aliases: frozenset[str]
    description: ModelDescription

    def answers_to(self, name: str) -> bool:
        """Whether a client that asks for `name` means this model."""
        return name.casefold() in self.aliases


def served_models(fleet: Fleet) -> list[ServedModel]:
    """The models of all agents that serve requests, each once."""
    return _distinct(record for record in fleet.records if record.serves)


def served_by(fleet: Fleet, agent_id: str) -> str | None:
    """The id of the model that an agent serves, while it is connected."""
    record = fleet.agent(agent_id)
    if record is None or record.description is None:
        return None
    return model_id(record.description.path)


def check_model(fleet: Fleet, asked: str | None, *, accept_any: bool) -> None:
    """Refuse a request for a model that the fleet does not serve.

    While no agent serves anything, nothing is refused: the request waits in
    the buffer for what will be loaded.

    Raises:
        ModelNotFound: Other models are served.
    """
    if not asked or asked == DEFAULT_MODEL or accept_any:
        return
    models = served_models(fleet)
    if models and not any(model.answers_to(asked) for model in models):
        raise ModelNotFound(asked, [model.id for model in models])


def _distinct(records: Iterable[AgentRecord]) -> list[ServedModel]:
    models: dict[str, ServedModel] = {}
    for record in records:
        description = record.description
        if description is not None and model_id(description.path) not in models:
            model = _served_model(description)
            models[model.id] = model
    return list(models.values())


def _served_model(description: ModelDescription) -> ServedModel:
    reference = description.path
    names: Sequence[str] = (
        model_id(reference),
        _file_name(reference),
        reference,
        _without_revision(reference),
        _repository(reference),
        description.name,
    )
    return ServedModel(
        id=model_id(reference),
        aliases=frozenset(name.casefold() for name in names if name),
        description=description,
    )


def _repository(reference: str) -> str:
    """`owner/name` of `owner/name/file.gguf@revision`; empty for anything else."""
    if "://" in reference or reference.startswith("/"):
        return ""
    parts = _without_revision(reference).split("/")
    return "/".join(parts[:2]) if len(parts) > 2 else ""
