"""Whether objects are of the patient and study of their source, and say what was predicted, as pydicom and highdicom read them.

    check_dicom.py FOLDER_OF_OBJECTS SOURCE_FILE..
"""

import sys
from pathlib import Path

import highdicom
import numpy as np
import pydicom
from highdicom.sr import srread

folder, sources = Path(sys.argv[1]), [pydicom.dcmread(path) for path in sys.argv[2:]]
source = sources[0]
TAKEN = """PatientName PatientID PatientBirthDate PatientSex PatientAge StudyInstanceUID StudyID StudyDate StudyTime
AccessionNumber ReferringPhysicianName""".split()


def same_owner(instance):
    for keyword in TAKEN:
        found, expected = instance.get(keyword), source.get(keyword)
        assert found == expected, f"{keyword}: {found!r} where {expected!r} is expected"
    assert str(instance.PatientName) == str(source.PatientName)
    assert instance.SeriesInstanceUID != source.SeriesInstanceUID
    assert instance.SOPInstanceUID.startswith("2.25.")
    assert ("PatientIdentityRemoved" in source) == ("DeidentificationMethod" in instance)


report = srread(folder / "report.dcm")
same_owner(report)
assert isinstance(report, highdicom.sr.ComprehensiveSR), type(report)
assert report.CompletionFlag == "COMPLETE" and report.VerificationFlag == "UNVERIFIED"
evidence = {reference[2] for reference in report.get_evidence()}
assert evidence == {image.SOPInstanceUID for image in sources}
content = report.content
assert isinstance(content, highdicom.sr.MeasurementReport), type(content)
assert content.template_id == "1500" if hasattr(content, "template_id") else True
groups = content.get_image_measurement_groups()
assert len(groups) == 1, len(groups)
group = groups[0]
measured = {m.name.value: m for m in group.get_measurements()}
assert {name: float(m.value) for name, m in measured.items()} == {"P0": 0.125, "P1": 0.875, "P-LOW": 0.75, "P-HIGH": 0.9375}
assert all(m.unit.value == "{0:1}" for m in measured.values())
assert measured["P1"].derivation.meaning == "Mean"
(evaluation,) = group.get_qualitative_evaluations()
assert evaluation.value.meaning == "higher", evaluation
texts = [
    item.TextValue
    for item in group[0].ContentSequence
    if item.ValueType == "TEXT" and item.ConceptNameCodeSequence[0].CodeMeaning == "Comment"
]
assert texts[0].startswith("Not for diagnosis"), texts
unicode = report.SpecificCharacterSet == "ISO_IR 192"
assert texts[2] == ("The scan is tilted by ≥ 5 degrees." if unicode else "The scan is tilted by ? 5 degrees."), texts
assert unicode or source.SpecificCharacterSet == report.SpecificCharacterSet

captures = sorted(folder.glob("flair-slice-*.dcm"))
assert len(captures) > 10
by_instance = {image.SOPInstanceUID: image for image in sources}
hot = []
for path in captures:
    capture = pydicom.dcmread(path)
    same_owner(capture)
    assert capture.BurnedInAnnotation == "NO" and capture.ImageComments == "Not for diagnosis"
    assert "Not for diagnosis" in capture.DerivationDescription
    pixels = capture.pixel_array
    assert pixels.shape == (408, 384, 3) and pixels.dtype == np.uint8
    assert (pixels[384:] == 255).any(), "no caption"
    assert capture.LossyImageCompression == source.get("LossyImageCompression", "00")
    referenced = [by_instance[item.ReferencedSOPInstanceUID] for item in capture.SourceImageSequence]
    if len(referenced) == 1:
        # The one image with the bright voxel is the source of the one hot picture.
        looked_at = referenced[0].pixel_array
        if looked_at.ndim == 3:
            looked_at = looked_at[capture.SourceImageSequence[0].ReferencedFrameNumber - 1]
        bright = looked_at.max() > 1000
        colour = pixels[:384].astype(int)
        is_hot = (np.abs(colour[..., 0] - colour[..., 2]) > 10).any()
        assert bright == is_hot, path
        hot.append(is_hot)
    else:
        assert len(referenced) == len(sources)
assert not hot or sum(hot) == 1, hot
used = {item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for item in group[0].ContentSequence if item.ValueType == "IMAGE"}
assert used <= evidence and len(used) == (min(len(captures), len(sources)) if hot else len(sources))
print(f"{folder.name}: the report and {len(captures)} captures compared with pydicom and highdicom")
