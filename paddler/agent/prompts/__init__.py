"""Prompts that are more than text: images, and code around a gap."""
