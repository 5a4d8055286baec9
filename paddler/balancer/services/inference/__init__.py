"""The inference service: the public API of Paddler, over HTTP and one WebSocket.

Owns the public JSON of requests and answers; what runs where is not its
business.

- `service`: the routes.
- `socket`: many requests over one WebSocket.
- `translation`: public requests to `GenerationOrder`.
- `ndjson`: events and errors to public JSON.
- `embedding_json`: the same for embeddings.
"""
