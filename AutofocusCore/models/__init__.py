"""Models: their description, their files, and where they are found."""

from AutofocusCore.models.bundle import Model, load_bundle, load_network, write_bundle
from AutofocusCore.models.spec import Channel, Code, ModelSpec, Normalization, Structure
from AutofocusCore.models.store import (
    bundled_model_folder,
    damaged_models,
    export_zip,
    find_model,
    import_model,
    list_models,
    user_model_folder,
    verify_model,
)

__all__ = [
    "Channel",
    "Code",
    "Model",
    "ModelSpec",
    "Normalization",
    "Structure",
    "bundled_model_folder",
    "damaged_models",
    "export_zip",
    "find_model",
    "import_model",
    "list_models",
    "load_bundle",
    "load_network",
    "user_model_folder",
    "verify_model",
    "write_bundle",
]
