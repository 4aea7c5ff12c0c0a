"""Models: their description, their files, and where they are found."""

from AutofocusCore.models.bundle import Model, load_bundle, load_network, write_bundle
from AutofocusCore.models.difference import ModelDifference, compare_models
from AutofocusCore.models.remove import RemovedModel, remove_model
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
    "ModelDifference",
    "ModelSpec",
    "Normalization",
    "RemovedModel",
    "Structure",
    "bundled_model_folder",
    "compare_models",
    "damaged_models",
    "export_zip",
    "find_model",
    "import_model",
    "list_models",
    "load_bundle",
    "load_network",
    "remove_model",
    "user_model_folder",
    "verify_model",
    "write_bundle",
]
