"""The HTTP edge: what every service of the balancer shares on its way to a socket.

Owns listening sockets, connections, limits, request nurseries, answers, errors
as HTTP statuses and CORS. Knows nothing of generations or agents, except which
status their errors have.

- `serving/`: sockets and connections (the only door to hypercorn).
- `application`: routes and error answers of one service.
- `request_nursery`: a request's life from its body to the end of its answer.
- `sockets`: the same for a WebSocket.
- `streaming`: answers, whole or written chunk by chunk.
- `error_table`: which HTTP status an error has.
- `limits`, `cors`: what they say.
"""
