"""The choice of an agent for a request when several have a free slot.

- `router`: what every router is asked and told.
- `least_busy`: by load alone.
- `cost_router`, `cost`: by the estimated time to first token.
- `prefix_index`: what each agent holds in its caches.
"""
