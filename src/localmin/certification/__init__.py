"""What kind of point is this: certificates for any objective, a complete answer for deep linear networks."""

from localmin.certification import deep_linear
from localmin.certification.certificate import Certificate, Recheck, Verdict
from localmin.certification.certify import certify
from localmin.certification.deep_linear import (
    ConstructedPoint,
    CriticalValue,
    DeepLinearClassification,
    DeepLinearEscape,
    DeepLinearRecheck,
    classify_deep_linear,
    construct_critical_point,
    critical_values,
    escape_deep_linear,
    optimality_gap,
)
from localmin.certification.escape import Escape, SettledPoint, descend, escape, settle
from localmin.certification.kinks import KinkReport, find_kinks
from localmin.certification.pictures import (
    certificate_figures,
    line_chart,
    plane_map,
    settling_chart,
    spectrum_chart,
)
from localmin.certification.slices import LineSlice, PlaneSlice, line_slice, plane_slice

__all__ = [
    "Certificate",
    "ConstructedPoint",
    "CriticalValue",
    "DeepLinearClassification",
    "DeepLinearEscape",
    "DeepLinearRecheck",
    "Escape",
    "KinkReport",
    "LineSlice",
    "PlaneSlice",
    "Recheck",
    "SettledPoint",
    "Verdict",
    "certificate_figures",
    "certify",
    "classify_deep_linear",
    "construct_critical_point",
    "critical_values",
    "deep_linear",
    "descend",
    "escape",
    "escape_deep_linear",
    "find_kinks",
    "line_chart",
    "line_slice",
    "optimality_gap",
    "plane_map",
    "plane_slice",
    "settle",
    "settling_chart",
    "spectrum_chart",
]
