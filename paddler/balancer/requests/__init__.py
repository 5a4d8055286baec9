"""A request's life over agents, independent of the service that took it.

How the parts are put together (`balancer/run.py` does):

    buffer = Buffer(router=CostRouter(random.Random()), max_waiting=30, timeout_s=10.0)
    fleet = Fleet(buffer)
    states = DesiredStates(fleet=fleet, database=database)
    await states.load()
    generations = Generations(fleet=fleet, buffer=buffer, item_timeout_s=30.0, observer=observer)
    embeddings = Embeddings(
        fleet=fleet, buffer=buffer, states=states, item_timeout_s=30.0, observer=observer
    )
    await nursery.start(states.run)

At shutdown: `generations.shut_down()`, `embeddings.shut_down()`; then cancel.

- `generation`: one generation, resumed elsewhere when its agent is lost.
- `embedding_chunks`: one batch of documents, spread over agents.
- `items`: what arrives in an outbox.
- `observer`: what metrics may want to know.
- `errors`: why a request never started.
"""
