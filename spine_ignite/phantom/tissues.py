"""Signal of the tissues: relaxation times and proton densities through the signal equations, or drawn at random.

Relaxation times (ms) are those at 1.5 T: muscle, liver, kidney, blood, cord and cartilage of Stanisz et al., Magn
Reson Med 2005;54:507; marrow, fat, spleen and uterus of de Bazelaire et al., Radiology 2004;230:652; cerebrospinal
fluid of Rooney et al., Magn Reson Med 2007;57:308, and T2 of free fluid about 2 s. T2 of the nucleus falls with wear
from about 130 to 60 ms, that of the annulus is about 50 ms (Marinelli et al., Spine 2009;34:520; Welsch et al., Eur
Radiol 2011;21:616).
In trains of refocusing pulses fat shines as if its T2 were longer (Henkelman et al., Magn Reson Imaging 1994;12:381).
The fat fraction of lumbar marrow is 20 to 65 %, more with age (Kühn et al., Radiology 2014;272:494).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray


class Tissue(IntEnum):
    """What a point can be made of."""

    AIR = 0
    CORTEX = 1
    MARROW = 2
    FAT = 3
    MUSCLE = 4
    CSF = 5
    CORD = 6
    ROOT = 7
    NUCLEUS = 8
    ANNULUS = 9
    LIGAMENT = 10
    BLOOD = 11
    LIVER = 12
    KIDNEY = 13
    BOWEL = 14
    FLUID = 15
    SKIN = 16
    LUNG = 17
    SPLEEN = 18
    UTERUS = 19
    WORN = 20  # the nucleus of a disc that has lost its water
    OEDEMA = 21  # of marrow: Modic type 1, fresh fractures
    FATTY = 22  # marrow turned to fat: Modic type 2, haemangioma
    POSTERIOR = 23  # marrow of the arches


# T1 ms, T2 ms, proton density of the water part, fat fraction.
_PROPERTIES: dict[Tissue, tuple[float, float, float, float]] = {
    Tissue.AIR: (1000, 50, 0.0, 0),
    Tissue.CORTEX: (700, 12, 0.15, 0),
    Tissue.MARROW: (900, 45, 0.85, 0.42),
    Tissue.FAT: (320, 70, 0.9, 0.93),
    Tissue.MUSCLE: (980, 38, 0.9, 0.03),
    Tissue.CSF: (4000, 1800, 1.0, 0),
    Tissue.CORD: (790, 76, 0.82, 0),
    Tissue.ROOT: (900, 80, 0.8, 0.05),
    Tissue.NUCLEUS: (1250, 125, 0.95, 0),
    Tissue.ANNULUS: (850, 42, 0.72, 0),
    Tissue.LIGAMENT: (700, 22, 0.5, 0.03),
    Tissue.BLOOD: (1440, 250, 0.95, 0),
    Tissue.LIVER: (580, 46, 0.85, 0.05),
    Tissue.KIDNEY: (1000, 80, 0.92, 0),
    Tissue.BOWEL: (1000, 65, 0.85, 0.1),
    Tissue.FLUID: (3000, 900, 1.0, 0),
    Tissue.SKIN: (900, 35, 0.75, 0.05),
    Tissue.LUNG: (1200, 30, 0.15, 0),
    Tissue.SPLEEN: (1060, 79, 0.92, 0),
    Tissue.UTERUS: (1310, 90, 0.92, 0),
    Tissue.WORN: (950, 58, 0.75, 0),
    Tissue.OEDEMA: (1100, 80, 0.9, 0.25),
    Tissue.FATTY: (700, 60, 0.88, 0.75),
    Tissue.POSTERIOR: (900, 45, 0.85, 0.5),
}
_LONG_T2_OF_FAT = 140.0  # in trains of refocusing pulses


@dataclass(frozen=True)
class Signals:
    """Mean signal of each tissue, and how strongly its texture shows; both indexed by ``Tissue``.

    Args:
        mean: about 0 … 1.
        texture: standard deviation of its fine texture.
        name: of the contrast.
    """

    mean: NDArray[np.float32]
    texture: NDArray[np.float32]
    name: str


def draw_signals(rng: np.random.Generator, contrast: str, variety: float) -> Signals:
    """Draw a sequence and a person's tissues, and return the signals.

    Args:
        rng: where randomness comes from.
        contrast: as in ``PhantomOptions``, ``mixed`` included.
        variety: how far properties of tissues spread about the published means; 0 leaves a tenth of it.
    """
    if contrast == "mixed":
        contrast = str(rng.choice(["t1", "t2", "stir", "pd", "water", "random"], p=[0.16, 0.24, 0.08, 0.07, 0.2, 0.25]))
    mean = _random_means(rng) if contrast == "random" else _sequence(rng, contrast, _person(rng, variety))
    mean[Tissue.AIR] = 0
    mean /= max(float(np.quantile(mean, 0.9)), 1e-3)
    spread = rng.uniform(0.4, 1.6) if variety else 1.0
    texture = spread * (0.02 + 0.06 * mean) * np.where(np.arange(len(Tissue)) == Tissue.CSF, 0.3, 1)
    texture[[Tissue.AIR, Tissue.LUNG]] = 0.01
    return Signals(mean.astype(np.float32), texture.astype(np.float32), contrast)


def _person(rng: np.random.Generator, variety: float) -> NDArray[np.float64]:
    """T1, T2, proton density and fat fraction of a person's tissues, ``(tissues, 4)``."""
    table = np.array([_PROPERTIES[tissue] for tissue in Tissue], float)
    spread = 0.1 + 0.9 * variety
    table[:, :3] *= np.exp(rng.normal(0, 1, (len(table), 3)) * np.array([0.12, 0.18, 0.07]) * spread)
    marrow = rng.uniform(0.2, 0.65) if variety else rng.uniform(0.35, 0.5)
    table[Tissue.MARROW, 3] = marrow
    table[Tissue.POSTERIOR, 3] = np.clip(marrow + rng.normal(0.08, 0.05), 0.1, 0.9)
    table[Tissue.FATTY, 3] = max(0.7, marrow + 0.15)
    table[Tissue.OEDEMA, 3] = 0.5 * marrow
    return table


def _sequence(rng: np.random.Generator, contrast: str, table: NDArray[np.float64]) -> NDArray[np.float64]:
    """Spin echo, inversion recovery, spoiled gradient echo (Bernstein et al., Handbook of MRI Pulse Sequences, 2004).

    Water and fat of a voxel add up; in a water image fat leaves only what the separation lets through.
    """
    t1, t2, density, fat = table.T
    fat_t1, fat_t2, fat_density = 300.0, _LONG_T2_OF_FAT, 0.95
    if contrast == "t1" and rng.uniform() < 0.7:
        repetition, echo = rng.uniform(400, 750), rng.uniform(8, 15)
        water, lipid = _spin_echo(t1, t2, repetition, echo), _spin_echo(fat_t1, fat_t2, repetition, echo)
        flow = rng.uniform(0.05, 0.4)
    elif contrast in ("t1", "water"):
        # A spoiled gradient echo; bone shortens T2* of marrow.
        weighted = contrast == "t1"
        angle = np.radians(rng.uniform(40, 80) if weighted else rng.uniform(2, 8))
        repetition = rng.uniform(80, 200) if weighted else rng.uniform(6, 15)
        echo = rng.uniform(2, 6)
        water = _gradient_echo(t1, 0.5 * t2, repetition, echo, angle)
        lipid = _gradient_echo(fat_t1, 25.0, repetition, echo, angle)
        if not weighted:
            lipid = lipid * rng.uniform(0, 0.12)
            # Fluid that moves brings fresh magnetisation into a volume that is excited all the time.
            water[Tissue.CSF] *= rng.uniform(1.0, 1.8)
        flow = rng.uniform(0.5, 1.5)
    elif contrast == "stir":
        repetition, echo, inversion = rng.uniform(3000, 6000), rng.uniform(30, 80), rng.uniform(140, 180)
        water = _spin_echo(t1, t2, repetition, echo) * np.abs(_recovered(t1, repetition, inversion))
        lipid = _spin_echo(fat_t1, fat_t2, repetition, echo) * abs(_recovered(fat_t1, repetition, inversion)) * 0.5
        flow = rng.uniform(0.05, 0.6)
    else:
        proton = contrast == "pd"
        repetition = rng.uniform(1800, 3500) if proton else rng.uniform(2500, 6000)
        echo = rng.uniform(10, 35) if proton else rng.uniform(80, 130)
        water, lipid = _spin_echo(t1, t2, repetition, echo), _spin_echo(fat_t1, fat_t2, repetition, echo)
        flow = rng.uniform(0.02, 0.3)
    signal = (1 - fat) * density * water + fat * fat_density * lipid
    signal[Tissue.BLOOD] *= flow
    return np.asarray(signal)


def _spin_echo(
    t1: NDArray[np.float64] | float, t2: NDArray[np.float64] | float, repetition: float, echo: float
) -> NDArray[np.float64]:
    return np.asarray((1 - np.exp(-repetition / t1)) * np.exp(-echo / t2))


def _recovered(t1: NDArray[np.float64] | float, repetition: float, inversion: float) -> NDArray[np.float64]:
    full = 1 - np.exp(-repetition / t1)
    return np.asarray((1 - 2 * np.exp(-inversion / t1) + np.exp(-repetition / t1)) / full)


def _gradient_echo(
    t1: NDArray[np.float64] | float, t2: NDArray[np.float64] | float, repetition: float, echo: float, angle: float
) -> NDArray[np.float64]:
    left = np.exp(-repetition / t1)
    return np.asarray(np.sin(angle) * (1 - left) / (1 - np.cos(angle) * left) * np.exp(-echo / t2))


def _random_means(rng: np.random.Generator) -> NDArray[np.float64]:
    """Any signal for any tissue (SynthSeg: Billot et al., Med Image Anal 2023;86:102789), with exceptions.

    The arches have nearly the marrow of the bodies, cortical bone and air are dark, and the two ages of a nucleus
    differ by degrees.
    """
    mean = rng.uniform(0.03, 1.0, len(Tissue))
    # A body that does not stand out from its disc and its surroundings is not to be learnt from.
    while abs(mean[Tissue.MARROW] - mean[Tissue.ANNULUS]) < 0.12:
        mean[Tissue.ANNULUS] = rng.uniform(0.03, 1.0)
    mean[Tissue.CORTEX] = rng.uniform(0, 0.15) if rng.uniform() < 0.8 else mean[Tissue.CORTEX]
    mean[Tissue.LUNG] = rng.uniform(0, 0.15)
    mean[Tissue.POSTERIOR] = np.clip(mean[Tissue.MARROW] + rng.normal(0, 0.08), 0.02, 1)
    for near, of in ((Tissue.WORN, Tissue.ANNULUS), (Tissue.FLUID, Tissue.CSF), (Tissue.ROOT, Tissue.CORD)):
        if rng.uniform() < 0.6:
            mean[near] = np.clip(mean[of] + rng.normal(0, 0.1), 0.02, 1)
    return mean
