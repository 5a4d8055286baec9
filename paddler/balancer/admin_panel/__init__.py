"""The web admin panel: static files, and where the browser finds the services.

- `assets`: the built panel, as files in memory.
- `service`: serves them, with the headers that fence the page in.
- `frontend/`: the panel's source (TypeScript); `build.py` builds it into `assets/`.

The panel has no access of its own: in the browser it talks to the management
and inference services like any other client.
"""
