"""The management service: what operators and agents talk to.

- `service`: the routes.
- `event_streams`: server-sent events.
- `agent_socket`: the WebSocket that agents dial, as a frame channel.
"""
