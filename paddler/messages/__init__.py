"""Everything that travels over a wire, as frozen msgspec structs.

Owns shapes, bounds and codecs; knows nothing of sockets, Trio, the engine or
the fleet. Depends on msgspec only.

- `grammar`, `sampling`, `conversation`: the parts of a request.
- `inference`: requests as applications send them (the public JSON contract).
- `embeddings`: embedding batches and their results.
- `generation`: the internal form every service translates its requests into,
  and the events that come back.
- `state`: desired and applicable state, inference parameters.
- `agents`: agent snapshots, issues and statuses.
- `link`: frames between agent and balancer.
- `decoding`: turns bytes into structs, and errors into sentences.
"""
