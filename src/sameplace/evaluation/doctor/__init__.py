"""The dataset doctor: what is wrong with a dataset, worst first, and how it is cured."""

from sameplace.evaluation.doctor.examination import examine, examine_folder
from sameplace.evaluation.doctor.findings import Example, Finding, Findings, Part
from sameplace.evaluation.doctor.page import write_page

__all__ = ["Example", "Finding", "Findings", "Part", "examine", "examine_folder", "write_page"]
