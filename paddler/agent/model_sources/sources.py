"""Picks the source of a model reference."""

from __future__ import annotations

from pathlib import Path

from paddler.agent.model_sources.huggingface import HuggingFaceSource
from paddler.agent.model_sources.local_file import find_local_file
from paddler.agent.model_sources.progress import DownloadReporter
from paddler.agent.model_sources.url import UrlSource
from paddler.messages.state import HuggingFaceModel, ModelReference, UrlModel


class ModelSources:
    """Everywhere a model can come from."""

    def __init__(self, *, url: UrlSource, huggingface: HuggingFaceSource) -> None:
        self._url = url
        self._huggingface = huggingface

    async def fetch(self, model: ModelReference, report: DownloadReporter) -> Path:
        """The path of the model's (first) file on this machine, complete.

        Raises:
            ModelSourceError: See `errors`.
        """
        if isinstance(model.HuggingFace, HuggingFaceModel):
            return await self._huggingface.fetch(model.HuggingFace, report)
        if isinstance(model.Url, UrlModel):
            return await self._url.fetch(model.Url.url, report)
        return await find_local_file(str(model.LocalToAgent))
