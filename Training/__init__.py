"""Training: one configuration and one command per model. Nothing in AutofocusCore depends on it."""
