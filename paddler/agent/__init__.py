"""The agent: runs a model on its own slots and serves the balancer it dials.

- `run`: the root nursery, start and stop.
- `link`: the connection to the balancer and what waits to be sent.
- `frame_router`, `load_report`: frames in, and what is told unasked.
- `serving_state`: from the state the balancer tells to an open engine, and its status.
- `requests`: requests while they run, from the wire's terms to the engine's and back.
- `prompts`, `tool_calls`: what requests are made of beyond text.
- `backend`: the engine as the agent needs it.
- `model_sources`: where model files come from.

Nothing here needs the native engine before a model is opened.
"""
