"""The agents that are connected, what they serve, and what they are told.

- `channel`: what a link needs of its transport.
- `agents`: one agent's record, and how the management service shows it.
- `agent_link`: one connection: frames in, frames out, requests in flight.
- `fleet`: all of them.
- `handshake`: an agent's way in.
"""
