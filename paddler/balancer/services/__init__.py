"""The services of the balancer, one folder for each; they are independent of each other."""
