"""Which agent gets a request: costs, and what each agent holds in its caches."""
