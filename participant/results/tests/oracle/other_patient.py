"""Gives DICOM files to another patient.

    other_patient.py FILE..
"""

import sys

import pydicom

for path in sys.argv[1:]:
    image = pydicom.dcmread(path)
    image.PatientID = "MS-0043"
    image.save_as(path)
