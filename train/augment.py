"""Random changes of labelled images: geometry, light, weather-like haze, blur, noise and compression.

CamVid was filmed with one camera in one town. The changes stand for what users' cameras add: other focal lengths and
mountings, white balance, exposure, dusk and night, haze, defocus, motion blur, sensor noise and compression.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from segnet_live.frame import LabelMap

Rgb = NDArray[np.uint8]


def random_geometry(
    rgb: Rgb, labels: LabelMap, size: tuple[int, int], void_id: int, rng: np.random.Generator
) -> tuple[Rgb, LabelMap]:
    """A randomly scaled, tilted, mirrored crop of `size`; what lies outside the picture is void."""
    height, width = size
    h, w = labels.shape
    scale = float(np.exp(rng.uniform(np.log(0.55), np.log(2.0))))
    aspect = float(np.exp(rng.uniform(-0.12, 0.12)))
    angle = float(np.deg2rad(rng.normal(0, 1.8)))
    sx, sy = scale * aspect, scale / aspect
    flip = -1.0 if rng.random() < 0.5 else 1.0

    # the crop's centre in the source: anywhere that keeps the crop inside, or the middle if it is larger
    def centre(full: int, crop: float) -> float:
        slack = max(full - crop, 0.0)
        return full / 2 + rng.uniform(-0.5, 0.5) * (slack if slack else 0.15 * full)

    cx, cy = centre(w, width / sx), centre(h, height / sy)
    cos, sin = np.cos(angle), np.sin(angle)
    forward = np.array([[flip * sx * cos, -flip * sx * sin], [sy * sin, sy * cos]])
    shift = np.array([width / 2, height / 2]) - forward @ np.array([cx, cy])
    matrix = np.concatenate([forward, shift[:, None]], 1)
    interpolation = cv2.INTER_AREA if scale < 0.7 else cv2.INTER_LINEAR
    if scale < 0.7:  # warpAffine has no area filter: shrink first, so that thin things do not alias
        small = cv2.resize(rgb, (int(w * sx), int(h * sy)), interpolation=interpolation)
        matrix_rgb = matrix @ np.diag([w / small.shape[1], h / small.shape[0], 1.0])
    else:
        small, matrix_rgb = rgb, matrix
    fill = tuple(float(v) for v in rgb.reshape(-1, 3)[:: max(1, h * w // 97)].mean(0))
    out = cv2.warpAffine(small, matrix_rgb, (width, height), flags=cv2.INTER_LINEAR, borderValue=fill)
    out_labels = cv2.warpAffine(labels, matrix, (width, height), flags=cv2.INTER_NEAREST, borderValue=float(void_id))
    return out.astype(np.uint8, copy=False), out_labels.astype(np.uint8, copy=False)


def _light(x: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Exposure, contrast, gamma, white balance and saturation; sometimes dusk or night. x: 0..1."""
    x = x * np.float32(np.exp(rng.normal(0, 0.22)))
    mean = x.mean()
    x = (x - mean) * np.float32(np.exp(rng.normal(0, 0.22))) + mean
    x = x * np.exp(rng.normal(0, 0.08, 3)).astype(np.float32)
    grey = x @ np.array([0.299, 0.587, 0.114], np.float32)
    saturation = np.float32(rng.uniform(0.0, 0.3) if rng.random() < 0.08 else np.exp(rng.normal(0, 0.3)))
    x = grey[..., None] + (x - grey[..., None]) * saturation
    x = np.clip(x, 0, 1)
    gamma = float(np.exp(rng.normal(0, 0.25)))
    if rng.random() < 0.1:  # night-like: dark, steep, tinted
        gamma *= rng.uniform(1.3, 2.2)
        x = (
            x
            * np.float32(rng.uniform(0.45, 0.9))
            * np.array([1.0, rng.uniform(0.85, 1), rng.uniform(0.6, 1.1)], np.float32)
        )
    return np.power(x, np.float32(gamma), dtype=np.float32)


def random_photometry(rgb: Rgb, rng: np.random.Generator) -> Rgb:
    """The same scene through another camera, light or weather. Labels stay as they are."""
    height, width = rgb.shape[:2]
    x = rgb.astype(np.float32) / 255
    if rng.random() < 0.9:
        x = _light(x, rng)
    if rng.random() < 0.15:  # haze or glare: a veil that thickens towards the horizon's rows
        veil = np.linspace(rng.uniform(0, 0.5), rng.uniform(0, 0.3), height, dtype=np.float32)[:, None, None]
        x = x * (1 - veil) + veil * np.float32(rng.uniform(0.6, 1.0))
    if rng.random() < 0.2:  # a broad shadow or a bright patch with a soft edge
        ramp = np.clip(np.linspace(-1, 1, width) * rng.uniform(1, 6) + rng.uniform(-3, 3), -0.5, 0.5) + 0.5
        x = x * (1 + (ramp * rng.uniform(-0.55, 0.4)).astype(np.float32))[None, :, None]
    blur = rng.random()
    if blur < 0.15:
        x = cv2.GaussianBlur(x, (0, 0), float(rng.uniform(0.4, 1.6)))
    elif blur < 0.22:  # motion, mostly sideways
        length = int(rng.integers(3, 9))
        x = cv2.blur(x, (length, 1) if rng.random() < 0.75 else (1, length))
    elif blur < 0.34:
        x = x + (x - cv2.GaussianBlur(x, (0, 0), 1.2)) * np.float32(rng.uniform(0.3, 1.2))
    if rng.random() < 0.25:
        x = x + rng.standard_normal(x.shape, dtype=np.float32) * np.float32(rng.uniform(0.005, 0.05))
    out = (np.clip(x, 0, 1) * 255 + 0.5).astype(np.uint8)
    if rng.random() < 0.2:
        quality = int(rng.integers(20, 75))
        _, packed = cv2.imencode(".jpg", out, [cv2.IMWRITE_JPEG_QUALITY, quality])
        out = np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR), np.uint8)
    return out


def augmented(
    rgb: Rgb, labels: LabelMap, size: tuple[int, int], void_id: int, rng: np.random.Generator
) -> tuple[Rgb, LabelMap]:
    """One random training crop of `size` (height, width) from a labelled image."""
    rgb, labels = random_geometry(rgb, labels, size, void_id, rng)
    return random_photometry(rgb, rng), labels
