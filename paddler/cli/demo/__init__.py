"""`paddler demo`: balancer, agent and a small real model in one command."""

from paddler.cli.demo.command import command

__all__ = ["command"]
