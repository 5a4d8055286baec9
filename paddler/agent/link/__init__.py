"""The link to the balancer: dialling, frames in and out, what waits to be sent."""
