"""From the state the balancer tells to an open engine, and what the agent says of it."""
