"""The agent: runs a model on its own slots and serves the balancer it dials.

- `run`: the root nursery, start and stop.
- `link`, `outbox`: the connection to the balancer and what waits to be sent.
- `reconcile_states`, `reconciler`: from the state the balancer tells to an open engine.
- `engine_generation`: one open engine and the nursery of its requests.
- `slots`, `generation_request`, `embedding_request`: requests while they run.
- `request_translation`, `tool_calls`: from the wire's terms to the engine's, and back.
- `status`, `issues`: what the agent says about itself.
- `model_sources`: where model files come from.

Nothing here needs the native engine before a model is opened.
"""
