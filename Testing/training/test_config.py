"""Configurations: the committed ones are sound, and a wrong one is refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from AutofocusCore import build_network
from AutofocusCore.errors import AutofocusError, SettingError
from AutofocusCore.networks.build import ARCHITECTURES, SCALE_STREAMS
from AutofocusCore.networks.deepmedic import Pathway
from Training.configuration.config import Augmentation, Data, Optimizer, Run, Segments, as_toml, config_of, load_config
from Training.configuration.toml_files import values_of

FOLDER = Path(__file__).resolve().parents[2] / "Training" / "configs"
CONFIGS = sorted(path for path in FOLDER.rglob("*.toml") if path.stem != "base")


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.relative_to(FOLDER).as_posix())
def test_a_committed_configuration_is_sound_and_opens_with_its_command(path: Path) -> None:
    config = load_config(path)
    place = path.relative_to(FOLDER)
    if place.parent == Path():
        assert path.stem.startswith(config.model.name)  # a model may be trained in several parts
    else:
        assert config.model.name == f"{place.parent}-{path.stem}"
    lines = path.read_text(encoding="utf-8").splitlines()
    opening = [line for line in lines[: lines.index("")] if f"Training/configs/{place.as_posix()}" in line]
    assert opening, "it opens with no command"
    ways = ("-m Training.train", "Training/train.py")
    assert opening[0].startswith(tuple(f"# python {way} Training/configs/{place.as_posix()}" for way in ways))
    assert opening[0][2:].split(" --")[0] in config.model.training_command


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.relative_to(FOLDER).as_posix())
def test_a_configuration_written_out_is_the_same_when_read_back(path: Path) -> None:
    config = load_config(path, ["run.seed=5"])
    assert config.run.seed == 5
    assert config_of(values_of(as_toml(config), "it")) == config


def test_an_empty_list_takes_back_what_a_base_configuration_leaves_out(tmp_path: Path) -> None:
    def configured(name: str, unknown: str, volume: str) -> Data:
        base = (FOLDER / "head-neck-ct.toml").as_posix()
        path = tmp_path / name
        path.write_text(
            f'base = "{base}"\n[data.unknown]\npt_221 = {unknown}\n[data.volume_ml]\nLarynx = {volume}\n',
            encoding="utf-8",
        )
        return load_config(path).data

    taken_back = configured("none.toml", "[]", "[]")
    assert "pt_221" not in taken_back.unknown
    assert taken_back.volume_ml == {}
    kept = configured("other.toml", '["Larynx"]', "[1, 2]")
    assert kept.unknown == {**taken_back.unknown, "pt_221": ("Larynx",)}
    assert kept.volume_ml == {"Larynx": (1, 2)}


def test_a_structure_of_ones_own_has_name_colour_and_codes(tmp_path: Path) -> None:
    text = (FOLDER / "hippocampus-mr.toml").read_text(encoding="utf-8")
    own = (
        '{ name = "Cyst", color = [1, 2, 3], category = { scheme = "SCT", value = "49755003", meaning = "Altered" },'
        ' type = { scheme = "SCT", value = "367643001", meaning = "Cyst" } }'
    )
    path = tmp_path / "own.toml"
    path.write_text(text.replace('"Posterior hippocampus"]', f"{own}]"), encoding="utf-8")
    second = load_config(path).model.structures[1]
    assert (second.label, second.name, second.color, second.type.value) == (2, "Cyst", (1, 2, 3), "367643001")
    path.write_text(text.replace('"Posterior hippocampus"]', '{ name = "Cyst" }]'), encoding="utf-8")
    with pytest.raises(AutofocusError, match="structure 2 field 'color'"):
        load_config(path)


def test_the_networks_of_the_hippocampus_ablation_differ_in_nothing_but_the_architecture() -> None:
    configs = [load_config(path) for path in CONFIGS if path.parent.name == "hippocampus"]
    assert {c.model.architecture["architecture"] for c in configs} == {*ARCHITECTURES, SCALE_STREAMS}
    for config in configs:
        assert (config.data, config.segments, config.augmentation, config.optimizer, config.run) == (
            configs[0].data, configs[0].segments, configs[0].augmentation, configs[0].optimizer, configs[0].run,
        )  # fmt: skip


def test_structures_that_have_a_side_are_flipped_only_where_their_labels_change_places() -> None:
    for path in CONFIGS:
        config = load_config(path)
        names = [structure.name for structure in config.model.structures]
        pairs = [{names.index(n) + 1, names.index(n.replace("Left", "Right")) + 1} for n in names if "Left" in n]
        if 2 in config.augmentation.flip:
            assert [set(pair) for pair in config.augmentation.swap] == pairs, path.name


def test_segments_have_the_papers_size() -> None:
    for folder, count in (("brats2015", 9), ("pelvic-ct", 9)):
        configs = [load_config(path) for path in CONFIGS if path.parent.name == folder and path.stem != "deepmedic"]
        assert len(configs) == count
        for config in configs:
            assert build_network(**config.model.architecture).margin * 2 + 47 == 75
            assert config.segments.size == (47, 47, 47)
    deepmedic = load_config(FOLDER / "brats2015" / "deepmedic.toml")
    assert [n + 2 * Pathway.margin for n in deepmedic.segments.size] == [25, 25, 25]


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("steps = 400", "steps = 0", "run.steps is 0"),
        ("steps = 400", 'steps = "many"', "run.steps is 'many'"),
        ("steps = 400", "", "run.steps is 0; give either steps or epochs"),
        ("steps = 400", "steps = 400\nepochs = 2", "run.steps is 400; give either steps or epochs"),
        ("steps = 400", "steps = 400\nrecompute = 1", "run.recompute is 1"),
        ("steps = 400", "steps = 400\nseed = true", "run.seed is True"),
        ("steps = 400", "steps = 400\nspeed = 3", "'speed'; the fields are steps, epochs"),
        ('loss = "both"', 'loss = "hinge"', "run.loss is 'hinge'"),
        ("[run]", "[run", "is not TOML"),
        ("foreground = 0.5", "foreground = 1.5", "segments.foreground is 1.5"),
        ("size = [32, 42, 32]", "size = [32, 42]", "segments.size is"),
        ("rotation", "flip = [2]\nswap = [[1, 3]]\nrotation", "augmentation.swap is ((1, 3),); use labels from 1 to 2"),
        ("rotation", "flip = [2]\nswap = [[1]]\nrotation", "augmentation.swap is"),
        ("rotation", 'monai = [{ name = "Lambdad" }]\nrotation', "augmentation.monai is 'Lambdad'"),
        (
            "foreground = 0.5",
            'centres = "classes"\nshares = [1.0, 2.0]',
            "(1.0, 2.0); give 3 shares",
        ),
        ('norm = "branch"', 'norm = "both"', "norm is 'both'"),
        ('architecture = "afn-4"', 'architecture = "afn-9"', "afn-9"),
        ('"Anterior hippocampus", ', '"Frontal hippocampus", ', "Frontal hippocampus"),
        ('method = "z-score"', 'method = "rank"', "normalization method is 'rank'"),
        ('structures = ["Anterior hippocampus", "Posterior hippocampus"]', "structures = 3", "model.structures is 3"),
        ("rotation", "flip = 2\nrotation", "augmentation.flip is 2; make it a list"),
    ],
)
def test_a_wrong_value_is_refused_by_its_name(tmp_path: Path, old: str, new: str, named: str) -> None:
    text = Path(__file__).with_name("segments.toml").read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "wrong.toml"
    path.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(AutofocusError) as refused:
        load_config(path)
    assert named in str(refused.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"nothing\.toml cannot be read"):
        load_config(tmp_path / "nothing.toml")


@pytest.mark.parametrize(
    ("part", "values"),
    [
        (Data, {"source": "web"}),
        (Data, {"source": "folder"}),
        (Data, {"source": "phantom"}),
        (Segments, {"size": (0, 1, 1), "per_step": 1}),
        (Augmentation, {"flip": (3,)}),
        (Augmentation, {"scaling": 1.0}),
        (Optimizer, {"name": "lion"}),
        (Optimizer, {"schedule": "stairs"}),
        (Optimizer, {"learning_rate": 0.0}),
        (Optimizer, {"name": "adam", "momentum": 0.9}),  # which would do nothing
        (Optimizer, {"name": "deepmedic-rmsprop", "weight_decay": 1e-4}),
        (Run, {"steps": 10, "average": 1.0}),
        (Run, {"steps": 10, "seed": 10**20}),
    ],
)
def test_each_part_checks_itself(part: type, values: dict) -> None:
    with pytest.raises(SettingError):
        part(**values)
