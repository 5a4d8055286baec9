"""The balancer: services, buffer, router and the links to its agents.

Imports go one way: services → generation → fleet → dispatch. State database
and metrics are leaves.
"""
