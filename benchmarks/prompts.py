"""Prompts of a given size, the same in every run."""

from __future__ import annotations

import random

# Words that common tokenizers (Gemma's among them) encode as one token each.
_TEXT = (
    "time year people way day man thing woman life child world school state family student group "
    "country problem hand part place case week company system program question work government "
    "number night point home water room mother area money story fact month lot right study book "
    "eye job word business issue side kind head house service friend father power hour game line "
    "end member law car city community name president team minute idea body information back "
    "parent face level office door health person art war history party result change morning "
    "reason research girl guy moment air teacher force education"
)
_WORDS = _TEXT.split()


def words(n_words: int, seed: str) -> str:
    """About `n_words` tokens of text that shares no prefix with that of another seed."""
    source = random.Random(seed)
    chosen = [source.choice(_WORDS) for _ in range(n_words)]
    return f"{seed}: {' '.join(chosen)}"
