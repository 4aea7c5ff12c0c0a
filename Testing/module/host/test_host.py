"""The application around a module: its life, the .ui file, dialogs, the event loop, scenes and layouts."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy as np
import pytest

from Testing.SlicerHost import Host

ROOT = Path(__file__).resolve().parents[3]

MODULE = """
    import qt
    import slicer
    from slicer.i18n import tr as _
    from slicer.ScriptedLoadableModule import *
    from slicer.parameterNodeWrapper import parameterNodeWrapper

    @parameterNodeWrapper
    class Parameters:
        volume: slicer.vtkMRMLScalarVolumeNode
        shown: bool = True

    class Small(ScriptedLoadableModule):
        def __init__(self, parent):
            ScriptedLoadableModule.__init__(self, parent)
            parent.title = _("A small module")

    class SmallWidget(ScriptedLoadableModuleWidget):
        def setup(self):
            ScriptedLoadableModuleWidget.setup(self)
            self.life = ["setup"]
            widget = slicer.util.loadUI(self.resourcePath("UI/Small.ui"))
            self.layout.addWidget(widget)
            self.ui = slicer.util.childWidgetVariables(widget)
            widget.setMRMLScene(slicer.mrmlScene)
            self.logic = SmallLogic()
            self.parameters = Parameters(self.logic.getParameterNode())
            self.parameters.connectGui(self.ui)

        def enter(self):
            self.life.append("enter")

        def exit(self):
            self.life.append("exit")

        def cleanup(self):
            self.life.append("cleanup")

    class SmallLogic(ScriptedLoadableModuleLogic):
        pass

    class SmallTest(ScriptedLoadableModuleTest):
        ran = []

        def test_something(self):
            self.ran.append("test")
"""

UI = """<?xml version="1.0" encoding="UTF-8"?>
    <ui version="4.0">
     <class>Small</class>
     <widget class="qMRMLWidget" name="Small">
      <layout class="QVBoxLayout" name="column">
       <item>
        <widget class="ctkCollapsibleButton" name="section">
         <property name="text"><string>Inputs</string></property>
         <property name="collapsed"><bool>true</bool></property>
         <layout class="QFormLayout" name="form">
          <item row="0" column="0">
           <widget class="qMRMLNodeComboBox" name="volumeSelector">
            <property name="nodeTypes"><stringlist><string>vtkMRMLVolumeNode</string></stringlist></property>
            <property name="noneEnabled"><bool>true</bool></property>
            <property name="SlicerParameterName" stdset="0"><string>volume</string></property>
           </widget>
          </item>
          <item row="1" column="0">
           <widget class="QCheckBox" name="shownCheckBox">
            <property name="SlicerParameterName" stdset="0"><string>shown</string></property>
           </widget>
          </item>
         </layout>
        </widget>
       </item>
      </layout>
     </widget>
     <connections>
      <connection>
       <sender>Small</sender>
       <signal>mrmlSceneChanged(vtkMRMLScene*)</signal>
       <receiver>volumeSelector</receiver>
       <slot>setMRMLScene(vtkMRMLScene*)</slot>
      </connection>
     </connections>
    </ui>
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """The file of a small module."""
    (tmp_path / "Resources" / "UI").mkdir(parents=True)
    (tmp_path / "Resources" / "UI" / "Small.ui").write_text(dedent(UI).lstrip(), encoding="utf-8")
    (tmp_path / "Small.py").write_text(dedent(MODULE), encoding="utf-8")
    return tmp_path / "Small.py"


def test_a_module_lives_as_in_the_application(host: Host, script: Path) -> None:
    import slicer

    widget = host.load_module(script)
    assert slicer.modules.small.title == "A small module"
    assert slicer.util.getModuleWidget("Small") is slicer.modules.SmallWidget is widget
    assert slicer.util.getModuleLogic("Small") is widget.logic
    slicer.util.selectModule("Volumes")
    slicer.util.selectModule("Small")
    host.close_module("Small")
    assert widget.life == ["setup", "enter", "exit", "enter", "exit", "cleanup"]
    assert not hasattr(slicer.modules, "small")


def test_a_module_is_reloaded_with_a_new_panel_in_the_same_place(host: Host, script: Path) -> None:
    import slicer

    before = host.load_module(script)
    slicer.util.reloadScriptedModule("Small")
    after = slicer.modules.SmallWidget
    assert after is not before
    assert before.life[-1] == "cleanup"
    assert after.parent is before.parent
    assert after.life == ["setup", "enter"]
    host.close_module("Small")
    assert before.life.count("cleanup") == after.life.count("cleanup") == 1


def test_the_self_test_of_a_module_runs(host: Host, script: Path) -> None:
    import slicer

    host.load_module(script)
    slicer.selfTests["Small"](msec=0)
    import Small  # type: ignore[import-not-found]

    assert Small.SmallTest.ran == ["test"]
    host.close_module("Small")


def test_a_ui_file_brings_stand_ins_their_properties_and_their_connections(host: Host, script: Path) -> None:
    widget = host.load_module(script)
    assert widget.ui.section.text == "Inputs"
    assert widget.ui.section.collapsed
    assert widget.ui.volumeSelector.mrmlScene() is host.scene
    node = host.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "CT")
    widget.ui.volumeSelector.setCurrentNode(node)
    widget.ui.shownCheckBox.checked = False
    assert widget.parameters.volume is node
    assert not widget.parameters.shown
    host.close_module("Small")


def test_the_parameter_node_is_one_a_scene_and_has_its_defaults_after_closing(host: Host, script: Path) -> None:
    widget = host.load_module(script)
    node = widget.logic.getParameterNode()
    assert widget.logic.getParameterNode() is node
    widget.parameters.shown = False
    host.scene.Clear(0)
    assert widget.logic.getParameterNode().GetAttribute("ModuleName") == "Small"
    assert host.scene.GetNumberOfNodesByClass("vtkMRMLScriptedModuleNode") == 1
    host.close_module("Small")


def test_dialogs_are_recorded_and_answered_as_prepared(host: Host) -> None:
    import qt
    import slicer

    host.dialogs.answers += [qt.QMessageBox.Ok, "chosen.zip"]
    assert slicer.util.confirmOkCancelDisplay("Go on?", windowTitle="A question")
    assert qt.QFileDialog.getOpenFileName(None, "Choose", "", "*.zip") == "chosen.zip"
    slicer.util.errorDisplay("It failed", detailedText="Here is why")
    assert [(seen.title, seen.text) for seen in host.dialogs.seen] == [
        ("A question", "Go on?"),
        ("Choose", " *.zip"),
        ("Slicer error", "It failed\nHere is why"),
    ]


def test_what_no_answer_was_prepared_for_is_cancelled(host: Host) -> None:
    import qt
    import slicer

    assert not slicer.util.confirmOkCancelDisplay("Go on?")
    assert not slicer.util.confirmYesNoDisplay("Go on?")
    assert qt.QFileDialog.getSaveFileName(None, "Save") == ""
    assert qt.QDialog().exec_() == qt.QDialog.Rejected
    qt.QDesktopServices.openUrl(qt.QUrl("https://example.org"))
    assert host.dialogs.opened_urls == ["https://example.org"]


def test_an_answer_may_use_the_dialog(host: Host) -> None:
    import qt

    dialog = qt.QDialog()
    line = qt.QLineEdit(dialog)

    def fill_in(shown: Any) -> int:
        shown.widget.findChild(qt.QLineEdit).text = "typed"
        return qt.QDialog.Accepted

    host.dialogs.answers.append(fill_in)
    assert dialog.exec_() == qt.QDialog.Accepted
    assert line.text == "typed"


def test_the_longest_block_of_the_event_loop_is_measured(host: Host) -> None:
    import qt

    qt.QTimer.singleShot(20, lambda: time.sleep(0.2))
    waited = host.run(timeout=0.4)
    assert not waited.reached
    assert 0.19 <= waited.longest_block <= waited.seconds
    assert len(waited.lateness) > 3


def test_exceptions_in_slots_and_observers_are_noted_and_stop_nothing(host: Host) -> None:
    import qt
    import vtk

    button = qt.QPushButton()
    button.connect("clicked()", lambda: 1 / 0)
    button.click()
    node = host.scene.AddNewNodeByClass("vtkMRMLTextNode")
    node.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: [][0])
    node.Modified()
    assert [type(fault) for fault in host.faults] == [ZeroDivisionError, IndexError]


def test_a_scene_is_saved_and_loaded_as_a_bundle(host: Host, tmp_path: Path) -> None:
    import slicer

    volume = slicer.util.addVolumeFromArray(np.arange(60.0).reshape(3, 4, 5), name="CT")
    slicer.util.setSliceViewerLayers(background=volume, fit=True)
    assert slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    host.scene.Clear(0)
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    assert np.array_equal(slicer.util.arrayFromVolume(slicer.util.getNode("CT")), np.arange(60.0).reshape(3, 4, 5))
    red = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceCompositeNode()
    assert red.GetBackgroundVolumeID() == slicer.util.getNode("CT").GetID()


def test_a_volume_is_saved_loaded_and_shown(host: Host, tmp_path: Path) -> None:
    import slicer

    volume = slicer.util.addVolumeFromArray(np.ones((3, 4, 5)), name="CT")
    assert slicer.util.saveNode(volume, str(tmp_path / "CT.nrrd"))
    host.scene.Clear(0)
    again = slicer.util.loadVolume(str(tmp_path / "CT.nrrd"), {"name": "again"})
    assert again.GetName() == "again"
    assert slicer.util.arrayFromVolume(again).shape == (3, 4, 5)
    red = slicer.app.layoutManager().sliceWidget("Red").sliceLogic()
    assert red.GetBackgroundLayer().GetVolumeNode() is again


def test_the_views_follow_the_layout(host: Host) -> None:
    import slicer

    layout = slicer.vtkMRMLLayoutNode
    manager = slicer.app.layoutManager()
    manager.setLayout(layout.SlicerLayoutFourUpView)

    def mapped() -> list[str]:
        views = {name: manager.sliceWidget(name).mrmlSliceNode() for name in manager.sliceViewNames()}
        return sorted(name for name, view in views.items() if view.IsMappedInLayout())

    assert (mapped(), manager.threeDViewCount) == (["Green", "Red", "Yellow"], 1)
    manager.setLayout(layout.SlicerLayoutOneUpRedSliceView)
    assert (mapped(), manager.threeDViewCount) == (["Red"], 0)
    assert len(manager.sliceViewNames()) >= 3, "views of other layouts are listed too, as in the application"
    manager.setLayout(layout.SlicerLayoutFourUpView)
    slicer.util.resetSliceViews()
    slicer.util.resetThreeDViews()


def test_settings_are_the_hosts_own(host: Host) -> None:
    import qt
    import slicer

    assert slicer.util.settingsValue("Small/Key", 3, converter=int) == 3
    qt.QSettings().setValue("Small/Key", 4)
    assert slicer.util.settingsValue("Small/Key", 3, converter=int) == 4
    assert Path(slicer.app.slicerUserSettingsFilePath).is_relative_to(slicer.app.temporaryPath)
    qt.QSettings().remove("Small/Key")


def test_nothing_is_installed_but_noted(host: Host) -> None:
    import slicer

    slicer.util.pip_install(["torch>=2.4"])
    assert host.installed == ["torch>=2.4"]


def test_a_picture_of_a_widget_is_taken(host: Host, script: Path, tmp_path: Path) -> None:
    import qt

    widget = host.load_module(script)
    widget.ui.section.collapsed = False
    picture = qt.QImage(str(host.grab(widget.parent, tmp_path / "panel.png", width=300)))
    assert (picture.width(), picture.height() > 60) == (300, True)
    widget.ui.section.collapsed = True
    host.run(timeout=0.05)
    assert widget.ui.section.height < 40, "the header, and what ctk leaves under it"
    host.close_module("Small")


END_WITH_A_SCAN_IN_THE_VIEWS = """
from pathlib import Path
import numpy as np
from Testing.SlicerHost import install_host

host = install_host()
host.load_module(Path("AutofocusSegmentation/AutofocusSegmentation.py"))
import slicer

scan = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
slicer.util.updateVolumeFromArray(scan, np.zeros((4, 4, 4), np.int16))
scan.CreateDefaultDisplayNodes()
slicer.util.setSliceViewerLayers(background=scan, fit=True)
host.run(lambda: False, 0.05)
"""


def test_a_process_that_shows_a_scan_ends_without_a_crash() -> None:
    command = [sys.executable, "-c", END_WITH_A_SCAN_IN_THE_VIEWS]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
