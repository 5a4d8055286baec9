"""What the fleet is to serve.

- `desired_state`: what the operator asked for, stored and rolled out.
- `rollout`: which agents swap to a new state next; pure.
- `readiness`: why nothing can be served, if nothing can.
"""
