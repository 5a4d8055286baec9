"""Per-request sampling: whatever is None comes from the fleet's parameters."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

Probability = Annotated[float, Meta(ge=0.0, le=1.0)]
Temperature = Annotated[float, Meta(ge=0.0, le=100.0)]
TopK = Annotated[int, Meta(ge=0, le=2**31 - 1)]
PenaltyLastN = Annotated[int, Meta(ge=-1, le=2**31 - 1)]
RepeatPenalty = Annotated[float, Meta(gt=0.0, le=100.0)]
AdditivePenalty = Annotated[float, Meta(ge=-100.0, le=100.0)]
Seed = Annotated[int, Meta(ge=0, le=2**32 - 1)]
LogitBias = Annotated[float, Meta(ge=-1e4, le=1e4)]

MAX_LOGIT_BIASES = 1024


class Sampling(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Overrides of the fleet's sampling parameters for one request.

    `temperature` 0 is greedy; `top_k` 0 is off; `penalty_last_n` -1 is the
    whole context, 0 is off; `logit_bias` maps token ids to what is added to
    their logits (-100 and below forbid a token in practice).
    """

    temperature: Temperature | None = None
    top_k: TopK | None = None
    top_p: Probability | None = None
    min_p: Probability | None = None
    seed: Seed | None = None
    penalty_last_n: PenaltyLastN | None = None
    penalty_repeat: RepeatPenalty | None = None
    penalty_frequency: AdditivePenalty | None = None
    penalty_presence: AdditivePenalty | None = None
    logit_bias: Annotated[dict[int, LogitBias], Meta(max_length=MAX_LOGIT_BIASES)] | None = None
