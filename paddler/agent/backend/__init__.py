"""The engine as the agent needs it, and the native one that fulfils that."""
