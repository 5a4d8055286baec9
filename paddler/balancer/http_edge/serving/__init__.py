"""Sockets and connections, over hypercorn's protocol implementation.

hypercorn's own server shields its writes and gives them no deadline, stops
watching a connection that pipelines, and closes so that a client may lose the
end of an answer. So only its protocol layer is used (HTTP/1.1 and WebSocket,
h11 and wsproto beneath it); the connection around it is ours.

- `listeners`: addresses to listening sockets.
- `protocol`: hypercorn's HTTP/1.1 protocol with our limits.
- `connection_states`: what a connection may do next, as a table.
- `connection`: one client's connection: reading, writing, patience, closing.
- `server`: accepting, counting and stopping connections.
"""
