"""The figures that are measured: names, units, and what each is in a few words; the sources stand where they are made.

Beside each function that measures is its definition: :mod:`~.segments`, :mod:`~.canal`, :mod:`~.measure_volume`.
"""

from __future__ import annotations

PURPOSE = "for research; not a diagnosis, not a medical device, and only as good as the labels"

# Name, unit and meaning in the order of the columns. A vertebra, a disc, the sacrum and the column have their own.
FIGURES: dict[str, tuple[str, str]] = {
    "height_anterior_mm": ("mm", "of a body between its anterior corners; of a disc between the corners next to it"),
    "height_middle_mm": ("mm", "halfway between the corners, from endplate to endplate"),
    "height_posterior_mm": ("mm", "as the anterior height, at the posterior corners"),
    "height_mm": ("mm", "of a disc: mean of the three heights"),
    "height_index": ("", "of a disc: its mean height over that of its neighbours (Masuda 2005)"),
    "ratio_anterior_posterior": ("", "of a body: anterior over posterior height"),
    "ratio_middle_posterior": ("", "of a body: middle over posterior height"),
    "wedge_deg": ("degrees", "of a body: between its endplates; positive if it is lower in front"),
    "depth_mm": ("mm", "mid-sagittal, mean of both endplates; of the sacrum that of S1's upper endplate"),
    "depth_middle_mm": ("mm", "of a body: mid-sagittal, halfway up"),
    "width_mm": ("mm", "of a body: from side to side, halfway up and back"),
    "volume_ml": ("ml", "of all that is labelled, a whole vertebra where that is what the scheme labels"),
    "slip_mm": ("mm", "of the upper body forward on the lower one; backward is negative"),
    "slip_percent": ("%", "of the depth of the lower body's upper endplate (Taillard 1954)"),
    "angle_deg": ("degrees", "of a disc: between the endplates next to it; lordosis is positive"),
    "segmental_angle_deg": ("degrees", "from upper endplate to the next upper endplate; lordosis is positive"),
    "lordosis_deg": ("degrees", "Cobb angle from the upper endplate of L1 to that of S1, lying"),
    "canal_ap_mm": ("mm", "mid-sagittal diameter of what is labelled as canal, perpendicular to it"),
    "signal_ratio": ("", "mean signal of a disc's middle over that of the fluid at its level"),
}
