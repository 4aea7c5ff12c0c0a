"""Use of the worker process without blocking the application: starting it, sending requests, receiving answers."""
