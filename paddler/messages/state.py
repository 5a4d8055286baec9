"""Desired and applicable state: what the fleet is asked to serve, and how.

The JSON of `DesiredState` is a public contract and the format of the state
database.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from paddler.messages.decoding import decode_json
from paddler.messages.one_of import OneOf
from paddler.messages.sampling import (
    AdditivePenalty,
    PenaltyLastN,
    Probability,
    RepeatPenalty,
    Temperature,
    TopK,
)

KvCacheDtype = Literal["F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "IQ4_NL", "Q5_0", "Q5_1"]
PoolingType = Literal["Unspecified", "None", "Mean", "Cls", "Last", "Rank"]


class HuggingFaceModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of a Hugging Face repository at a revision."""

    repo_id: Annotated[str, Meta(min_length=1)]
    filename: Annotated[str, Meta(min_length=1)]
    revision: Annotated[str, Meta(min_length=1)]


class UrlModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file behind an http or https URL."""

    url: Annotated[str, Meta(min_length=1)]


class ModelReference(OneOf, frozen=True):
    """Where a model comes from."""

    SUBJECT = 'a model is "None" or'

    HuggingFace: HuggingFaceModel | UnsetType = UNSET
    Url: UrlModel | UnsetType = UNSET
    LocalToAgent: Annotated[str, Meta(min_length=1)] | UnsetType = UNSET

    @property
    def path(self) -> str:
        """The reference in one line, as snapshots and issues show it."""
        if isinstance(self.HuggingFace, HuggingFaceModel):
            source = self.HuggingFace
            return f"{source.repo_id}/{source.filename}@{source.revision}"
        if isinstance(self.Url, UrlModel):
            return self.Url.url
        return str(self.LocalToAgent)


Model = Literal["None"] | ModelReference


class ChatTemplate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A chat template: Jinja source."""

    content: str


class InferenceParameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the model is run; `context_size` is per slot, in tokens.

    All fields are required on the wire. The defaults here are those of a
    fresh state.
    """

    n_batch: Annotated[int, Meta(ge=1, le=2**20)] = 2048
    context_size: Annotated[int, Meta(ge=1, le=2**31 - 1)] = 8192
    embedding_batch_size: Annotated[int, Meta(ge=1, le=2**20)] = 256
    enable_embeddings: bool = False
    image_resize_to_fit: Annotated[int, Meta(ge=1, le=2**16)] = 1024
    k_cache_dtype: KvCacheDtype = "Q8_0"
    v_cache_dtype: KvCacheDtype = "Q8_0"
    min_p: Probability = 0.05
    n_gpu_layers: Annotated[int, Meta(ge=-1, le=2**20)] = 0
    penalty_frequency: AdditivePenalty = 0.0
    penalty_last_n: PenaltyLastN = -1
    penalty_presence: AdditivePenalty = 0.8
    penalty_repeat: RepeatPenalty = 1.1
    pooling_type: PoolingType = "Last"
    temperature: Temperature = 0.8
    top_k: TopK = 80
    top_p: Probability = 0.8


class DesiredState(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the operator asked for."""

    chat_template_override: ChatTemplate | None = None
    inference_parameters: InferenceParameters = InferenceParameters()
    model: Model = "None"
    multimodal_projection: Model = "None"
    use_chat_template_override: bool = False

    def applicable(self) -> ApplicableState:
        """What agents are told: the template override resolved."""
        return ApplicableState(
            chat_template_override=(
                self.chat_template_override if self.use_chat_template_override else None
            ),
            inference_parameters=self.inference_parameters,
            model=self.model,
            multimodal_projection=self.multimodal_projection,
        )


class ApplicableState(msgspec.Struct, frozen=True, kw_only=True):
    """What every agent applies."""

    chat_template_override: ChatTemplate | None
    inference_parameters: InferenceParameters
    model: Model
    multimodal_projection: Model


_RequiredParameters = msgspec.defstruct(
    "_RequiredParameters",
    [(field.encode_name, field.type) for field in msgspec.structs.fields(InferenceParameters)],
)
_RequiredDesiredState = msgspec.defstruct(
    "_RequiredDesiredState",
    [
        ("inference_parameters", _RequiredParameters),
        ("model", Model),
        ("multimodal_projection", Model),
        ("use_chat_template_override", bool),
    ],
)


def decode_desired_state(body: bytes) -> DesiredState:
    """Decode a desired state as operators send it: only what may be null may be left out.

    The state database is more forgiving: there, `DesiredState` has defaults.

    Raises:
        MalformedMessage: Outside the contract, or incomplete.
    """
    state = decode_json(body, DesiredState)
    decode_json(body, _RequiredDesiredState)
    return state
