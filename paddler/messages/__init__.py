"""Everything that travels over a wire, as frozen msgspec structs.

Owns shapes, bounds and codecs; knows nothing of sockets, Trio, the engine or
the fleet. Depends on msgspec only.

- `grammar`, `sampling`, `conversation`: the parts of a request.
- `inference`, `answers`: requests as applications send them, and what they are
  answered (the public JSON contract).
- `embeddings`: embedding batches and their results.
- `generation`: the internal form every service translates its requests into,
  and the events that come back.
- `state`: desired and applicable state, inference parameters.
- `agents`: agent snapshots, issues and statuses.
- `dashboard`, `panel`: what the admin panel shows, and where it finds the services.
- `link`: frames between agent and balancer.
- `one_of`: objects of which exactly one field is there.
- `decoding`: turns bytes into structs, and errors into sentences.
"""
