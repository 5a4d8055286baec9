"""`/v1/models` and `/v1/models/{id}`: what the fleet serves now."""

from __future__ import annotations

from paddler.balancer.fleet.fleet import Fleet
from paddler.balancer.http_edge.handlers import EdgeRequest
from paddler.balancer.http_edge.streaming import Answer, json_answer
from paddler.balancer.services.openai.errors import ModelNotFound
from paddler.balancer.services.openai.served_models import ServedModel, served_models

OWNER = "paddler"


class Models:
    """The list of models; `created` of each is when this service started.

    Args:
        fleet: Whose models.
        created: Seconds since 1970.
    """

    def __init__(self, fleet: Fleet, created: int) -> None:
        self._fleet = fleet
        self._created = created

    async def all(self, request: EdgeRequest) -> Answer:
        """Answer GET `/v1/models`; the list is empty while nothing is served."""
        models = [self._describe(model) for model in served_models(self._fleet)]
        return json_answer({"object": "list", "data": models})

    async def one(self, request: EdgeRequest, name: str) -> Answer:
        """Answer GET `/v1/models/{id}`.

        Raises:
            ModelNotFound: It is not served now.
        """
        models = served_models(self._fleet)
        for model in models:
            if model.answers_to(name):
                return json_answer(self._describe(model))
        raise ModelNotFound(name, [model.id for model in models])

    def _describe(self, model: ServedModel) -> dict[str, object]:
        description = model.description
        return {
            "id": model.id,
            "object": "model",
            "created": self._created,
            "owned_by": OWNER,
            # Beyond OpenAI's fields, as vLLM and llama-server have them.
            "max_model_len": description.context_tokens,
            "meta": {
                "name": description.name,
                "reference": description.path,
                "n_params": description.n_parameters,
                "size": description.size_bytes,
                "can_generate": description.can_generate,
                "can_embed": description.can_embed,
                "supports_images": description.supports_images,
            },
        }
