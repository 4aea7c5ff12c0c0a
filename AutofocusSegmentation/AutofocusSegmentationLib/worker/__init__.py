"""The worker process as the module uses it: started, asked and heard without blocking the application."""
