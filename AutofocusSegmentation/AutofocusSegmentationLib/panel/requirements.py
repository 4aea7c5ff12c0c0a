"""Libraries that the worker needs and Slicer lacks, above all PyTorch. They are installed on a click, with consent."""

from __future__ import annotations

import importlib.util

import slicer
from slicer.i18n import tr as _

from AutofocusCore.errors import AutofocusError

MINIMUM = (2, 4)
UNUSABLE = ((2, 9),)  # 3-D convolutions of that release are slow and in bfloat16 wrong
REQUIREMENT = "torch>=2.4,!=2.9.*"


class MissingLibrary(AutofocusError):
    """A library that the worker needs is not installed, or cannot be used."""

    code = "library"


_found = ""


def torch_version() -> str | None:
    """Version of the installed PyTorch, found out without importing it, and once; None while there is none."""
    global _found
    if not _found:
        from importlib.metadata import PackageNotFoundError, version

        if importlib.util.find_spec("torch") is None:
            return None
        try:
            _found = version("torch")
        except PackageNotFoundError:
            _found = "0"
    return _found


def missing() -> MissingLibrary | None:
    """None if everything is there."""
    version = torch_version()
    if version is None:
        return MissingLibrary(_("PyTorch is not installed"), _("click Segment to install it"))
    numbers = tuple(int(part) for part in version.split("+")[0].split(".")[:2] if part.isdigit())
    if numbers != (0,) and (numbers < MINIMUM or numbers in UNUSABLE):
        return MissingLibrary(
            _("PyTorch {version} cannot be used").format(version=version),
            _("install another release with the PyTorch extension: {requirement}").format(requirement=REQUIREMENT),
        )
    return None


def offline_steps() -> str:
    """For a computer without a network: what to do by hand."""
    return _(
        "<p>To install PyTorch without a network connection:</p><ol>"
        "<li>On a computer with a network and the same system, run in a terminal:<br>"
        "<code>PythonSlicer -m pip download &quot;{requirement}&quot; -d torch-files</code></li>"
        "<li>Copy the folder <code>torch-files</code> to this computer.</li>"
        "<li>Run here:<br><code>PythonSlicer -m pip install --no-index --find-links torch-files torch</code></li>"
        "<li>Start Slicer again.</li></ol>"
        "<p>PythonSlicer lies in the folder <code>bin</code> of Slicer.</p>"
    ).format(requirement=REQUIREMENT.replace("<", "&lt;").replace(">", "&gt;"))


def ensure_torch() -> bool:
    """Ask, then install PyTorch: through the PyTorch extension, which picks the build for this computer's GPU.

    Without that extension, with slicer.packaging (Slicer 5.11 and newer) or pip, which is offered second, as it knows
    nothing of drivers.

    Returns:
        whether a usable PyTorch is there now.
    """
    if missing() is None:
        return True
    question = _(
        "Segmenting needs the library PyTorch, which is not installed in this Slicer. Downloading it takes some "
        "minutes and up to 3 GB of disk space. Install it now?"
    )
    if not slicer.util.confirmOkCancelDisplay(question, windowTitle=_("Install PyTorch")):
        return False
    try:
        _install()
    except Exception as error:
        text = _("PyTorch could not be installed: {error}").format(error=error)
        slicer.util.errorDisplay(text, windowTitle=_("Install PyTorch"), informativeText=offline_steps())
        return False
    importlib.invalidate_caches()
    lacking = missing()
    if lacking is not None:
        slicer.util.errorDisplay(str(lacking), informativeText=offline_steps())
    return lacking is None


def ensure_package(module: str, requirement: str, purpose: str) -> bool:
    """Ask, then install a library that only one kind of file needs.

    Args:
        module: what is imported.
        requirement: what pip is told.
        purpose: the kind of file, for the question.

    Returns:
        whether it is there now.
    """
    if importlib.util.find_spec(module) is not None:
        return True
    title = _("Install {library}").format(library=module)
    question = _("{purpose} needs the Python library {library}, which is not installed. Install it now?")
    if not slicer.util.confirmOkCancelDisplay(question.format(purpose=purpose, library=module), windowTitle=title):
        return False
    try:
        _pip_install(requirement)
    except Exception as error:
        text = _("{library} could not be installed: {error}").format(library=module, error=error)
        slicer.util.errorDisplay(text, windowTitle=title)
        return False
    importlib.invalidate_caches()
    return importlib.util.find_spec(module) is not None


def _install() -> None:
    try:
        import PyTorchUtils
    except ImportError:
        PyTorchUtils = None
    if PyTorchUtils is not None:
        logic = PyTorchUtils.PyTorchUtilsLogic()
        logic.installTorch(askConfirmation=False, torchVersionRequirement=REQUIREMENT.removeprefix("torch"))
        return
    advice = _(
        "The PyTorch extension, which picks the build that suits this computer's GPU, is not installed. It can be "
        "installed with the Extensions Manager; Slicer must then be started again. Go on without it?"
    )
    if not slicer.util.confirmOkCancelDisplay(advice, windowTitle=_("Install PyTorch")):
        raise RuntimeError(_("install the PyTorch extension, start Slicer again, and click Segment"))
    _pip_install(REQUIREMENT)


def _pip_install(requirement: str) -> None:
    try:
        from slicer.packaging import pip_install
    except ImportError:  # Slicer 5.10
        slicer.util.pip_install([requirement])
    else:
        pip_install([requirement], requester="AutofocusSegmentation")
