"""Name the formats of exports; nothing heavy is imported here."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

Format: TypeAlias = Literal["onnx", "openvino", "pt2"]
ExportPrecision: TypeAlias = Literal["fp32", "fp16", "int8"]
Annotations: TypeAlias = Literal["coco", "cityscapes", "cvat"]

FORMATS: tuple[Format, ...] = get_args(Format)
PRECISIONS: tuple[ExportPrecision, ...] = get_args(ExportPrecision)
ANNOTATIONS: tuple[Annotations, ...] = get_args(Annotations)
SUFFIXES: dict[Format, str] = {"onnx": ".onnx", "openvino": ".xml", "pt2": ".pt2"}
"""By format, what the file to open ends in."""
