"""What can be wrong with the panel.

PanelError
└── PanelNotBuilt
"""

from __future__ import annotations

from pathlib import Path


class PanelError(Exception):
    """The panel cannot be served; the text is for whoever started the balancer."""


class PanelNotBuilt(PanelError):
    """This installation carries no built panel."""

    def __init__(self, directory: Path) -> None:
        super().__init__(
            "--web-admin-panel-addr: this installation of Paddler has no built admin panel "
            f"(nothing at {directory}). It is built when Paddler is installed while npm is "
            "there: install Node.js 20.19 or newer, then install Paddler again; in a checkout, "
            "run `make panel`."
        )
        self.directory = directory
