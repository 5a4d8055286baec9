"""Paddler: self-hosted LLM serving.

Two programs make up the system: the balancer, which is the one address that
applications talk to, and the agent, which runs a model on its own slots.
Neither imports the other; what they share is in `paddler.messages` (what
travels between them) and `paddler.concurrency` (Trio building blocks).
"""
