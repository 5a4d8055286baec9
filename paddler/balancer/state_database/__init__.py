"""Where the desired state outlives the balancer: nowhere, or in a file.

`database.open_state_database` takes the URL of the command line.
"""
