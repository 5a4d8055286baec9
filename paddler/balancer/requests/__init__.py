"""A request's life over agents, independent of the service that took it.

How the parts are put together (`balancer/run.py` does):

    buffer = Buffer(router=CostRouter(random.Random()), max_waiting=30, timeout_s=10.0)
    fleet = Fleet(buffer)
    states = DesiredStates(fleet=fleet, database=database)
    await states.load()
    takeover = Takeover(fleet=fleet, buffer=buffer, item_timeout_s=30.0, observe=observe)
    generations = Generations(
        takeover=takeover, fleet=fleet, pool=buffer.pool, observe=observe
    )
    embeddings = Embeddings(takeover=takeover, fleet=fleet, pool=buffer.pool, states=states)
    await nursery.start(states.run)

At shutdown: `takeover.shut_down()`; then cancel.

- `takeover`: any request, over all the agents that it takes.
- `progress`: what a request has come to; `generation_progress` and
  `embedding_progress` are its kinds.
- `generations`: one generation, resumed elsewhere when its agent is lost.
- `embedding_batches`: one batch of documents, spread over agents.
- `items`: what arrives in an outbox.
- `observations`: what metrics may want to know.
- `errors`: why a request never started.
"""
