"""The scripted module as Slicer sees it: thin shells over AutofocusSegmentationLib."""

from __future__ import annotations

import slicer
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin


class AutofocusSegmentation(ScriptedLoadableModule):
    """What the module says of itself."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("Autofocus Segmentation")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        self.parent.dependencies = []
        self.parent.contributors = ["The AutofocusSegmentation developers"]
        self.parent.helpText = _(
            "Segments CT and MR with autofocus networks, which choose for every voxel how far around it they look, and "
            "shows on the scan where the network zoomed in and where it zoomed out."
            "<p>1. Choose the volume. 2. Choose a model. 3. Click <b>Segment</b>. 4. Open <b>Attention</b>.</p>"
            "<p>Research only: no diagnosis and no treatment may rest on its output.</p>"
            '<p><a href="https://github.com/AutofocusSegmentation/AutofocusSegmentation#readme">Documentation</a></p>'
        )
        self.parent.acknowledgementText = _(
            "The autofocus layer: Y. Qin, K. Kamnitsas, S. Ancha, J. Nanavati, G. Cottrell, A. Criminisi, A. Nori: "
            "Autofocus Layer for Semantic Segmentation, MICCAI 2018 (arXiv:1805.08403)."
        )
        slicer.app.connect("startupCompleted()", register_sample_data)


def register_sample_data() -> None:
    """Offer our sample data in the module Sample Data, which a slimmed-down Slicer may lack."""
    import importlib.util

    if importlib.util.find_spec("SampleData") is None:
        return
    from AutofocusSegmentationLib.panel.sample_data import register_sample_data as register

    register()


class AutofocusSegmentationWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The module's panel; its work is done in AutofocusSegmentationLib/panel/panel.py."""

    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = None
        self.panel = None
        self._entered = False

    def setup(self):
        """Build the panel, when the module is opened for the first time or loaded again."""
        from AutofocusSegmentationLib.panel.panel import Panel

        ScriptedLoadableModuleWidget.setup(self)
        widget = slicer.util.loadUI(self.resourcePath("UI/AutofocusSegmentation.ui"))
        self.layout.addWidget(widget)
        self.ui = slicer.util.childWidgetVariables(widget)
        widget.setMRMLScene(slicer.mrmlScene)
        self.logic = AutofocusSegmentationLogic()
        self.panel = Panel(self.ui)
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(scene, scene.EndCloseEvent, self.onSceneEndClose)
        self.addObserver(scene, scene.EndImportEvent, self.onSceneEndImport)
        if getattr(self.parent, "isEntered", False):  # reloaded while it is shown; Slicer does not call enter() then
            self.enter()

    def enter(self):
        """The module is shown."""
        self._entered = True
        self.panel.enter(self.logic.getParameterNode())

    def exit(self):
        """Another module is shown."""
        self._entered = False
        if self.panel is not None:
            self.panel.exit()

    def cleanup(self):
        """The application ends, or the module is loaded again."""
        self.removeObservers()
        if self.panel is not None:
            self.panel.close()
            self.panel = None

    def onSceneStartClose(self, caller, event):
        """The scene is about to be emptied."""
        if self.panel is not None:
            self.panel.scene_closes()

    def onSceneEndClose(self, caller, event):
        """The scene is empty; if the module is shown, it goes on with a new parameter node."""
        if self._entered:
            self.panel.enter(self.logic.getParameterNode())

    def onSceneEndImport(self, caller, event):
        """A saved scene was loaded, and with it what had been chosen."""
        if self._entered:
            self.panel.enter(self.logic.getParameterNode())


class AutofocusSegmentationLogic(ScriptedLoadableModuleLogic):
    """What scripts and other modules may call."""

    def getParameterNode(self):
        """The parameters, as AutofocusParameterNode."""
        from AutofocusSegmentationLib.panel.parameters import AutofocusParameterNode

        return AutofocusParameterNode(ScriptedLoadableModuleLogic.getParameterNode(self))

    def process(self, volumes, model, *, device="auto", attention=True, roi=None, replace=None, timeout=None):
        """Segment volumes and wait for the result, without the panel.

        Args:
            volumes: a volume node for each channel, in the model's order.
            model: name or folder of a model.
            device: "auto", "cpu", "cuda:0", "mps".
            attention: whether the attention maps come into the scene.
            roi: a markups ROI node to segment inside.
            replace: a segmentation node to update; None adds one.
            timeout: seconds after which to give up.

        Returns:
            the vtkMRMLSegmentationNode.

        Raises:
            AutofocusError: with cause and remedy.
        """
        from AutofocusSegmentationLib.worker.processing import process

        return process(volumes, model, device=device, attention=attention, roi=roi, replace=replace, timeout=timeout)


class AutofocusSegmentationTest(ScriptedLoadableModuleTest):
    """The module's own test, for the application: Developer mode, "Reload and Test"."""

    def setUp(self):
        """An empty scene."""
        slicer.mrmlScene.Clear(0)

    def runTest(self):
        """All tests."""
        from AutofocusSegmentationLib.panel.self_test import TESTS

        for test in TESTS:
            self.setUp()
            self.delayDisplay(test.__doc__.splitlines()[0])
            test()
        self.delayDisplay(_("All tests passed"))
