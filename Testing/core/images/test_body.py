"""The body in a CT that was cut out along the patient before, in pieces and with thin parts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from AutofocusCore.images import Grid
from AutofocusCore.images.body import body_mask

AIR = -1024.0


def grid_of(values: NDArray[np.float32]) -> Grid:
    return Grid(values.shape[::-1], (4.0, 4.0, 3.0), (0.0, 0.0, 0.0), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))


def cut_out_patient() -> NDArray[np.float32]:
    """Shoulders, an empty slice, a neck, and a cord three voxels wide above it, as radiotherapy collections have it."""
    values = np.full((60, 40, 50), AIR, dtype=np.float32)
    values[2:20, 5:35, 2:48] = 20
    values[21:45, 12:30, 18:34] = 40
    values[45:58, 20:23, 25:28] = 30
    values[23, 15, 20] = 800  # so that not all voxels look alike
    return values


def test_all_pieces_of_a_patient_that_was_cut_out_are_body() -> None:
    values = cut_out_patient()
    mask = body_mask(values, grid_of(values))
    assert mask[values > -500].all()
    assert not mask[values <= -500].any()


def test_a_table_beside_a_patient_in_even_air_is_no_body() -> None:
    values = cut_out_patient()
    values[2:58, 37:39, 2:48] = -100
    mask = body_mask(values, grid_of(values))
    assert not mask[:, 37:39].any()
    assert mask[2:20, 5:35, 2:48].all()
    assert mask[45:58, 20:23, 25:28].all()


def test_where_air_has_noise_thin_things_beside_the_body_fall_off() -> None:
    values = cut_out_patient()
    noise = np.random.default_rng(0).normal(0, 20, values.shape).astype(np.float32)
    values = np.where(values <= -500, -1000 + noise, values)
    mask = body_mask(values, grid_of(values))
    assert mask[3:19, 8:32, 6:44].all()
    assert not mask[50:].any()
