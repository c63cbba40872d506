"""Channels: how a message leaves the house. What cannot be said raises Undelivered, in words without secrets."""
