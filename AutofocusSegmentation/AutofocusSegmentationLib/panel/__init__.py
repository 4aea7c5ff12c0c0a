"""The panel: what the user sees and clicks. It knows the scene and the worker; neither knows the panel."""
