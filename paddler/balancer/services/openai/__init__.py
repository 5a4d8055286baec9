"""The OpenAI-compatible service: OpenAI's HTTP API on the same buffer, router and slots.

Owns the JSON of OpenAI's API; what runs where is not its business.

- `service`: the routes.
- `generating`: from tasks to an answer, whole or streamed, for all endpoints.
- `choices`: the generations of one request.
- `chat`, `completions`, `responses`, `embeddings`, `models`: the endpoints;
  `chat_request`, `responses_request`: what they are asked;
  `response_events`: the typed events of a response.
- `parameters`, `tools`, `schemas`: parts of requests.
- `outcome`, `logprobs`, `usage`, `sse`: parts of answers.
- `served_models`: which models there are, and under which names.
- `errors`, `limits`: what they say.
"""
