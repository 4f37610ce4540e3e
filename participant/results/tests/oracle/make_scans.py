"""Makes scans with one bright voxel, in many orientations, as NIfTI files and as a DICOM series.

    make_scans.py FOLDER

Writes FOLDER/scans.json: for each scan its files and where in the world the bright voxel's centre lies, in millimetres towards right,
front and head.
"""

import itertools
import json
import sys
from pathlib import Path

import nibabel
import numpy as np
import pydicom
from pydicom.dataset import FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import EnhancedMRImageStorage, ExplicitVRLittleEndian, MRImageStorage

ROOT = "1.2.826.0.1.3680043.10.999"


def head(shape, seed):
    """A box of tissue in darkness."""
    voxels = np.zeros(shape, np.int16)
    inside = tuple(slice(2, count - 2) for count in shape)
    voxels[inside] = 100 + np.random.default_rng(seed).integers(0, 5, voxels[inside].shape)
    return voxels


def rotation(degrees):
    """About all three axes."""
    matrix = np.eye(3)
    for axis, angle in enumerate(np.radians(degrees)):
        turn = np.eye(3)
        a, b = [i for i in range(3) if i != axis]
        turn[a, a] = turn[b, b] = np.cos(angle)
        turn[a, b], turn[b, a] = -np.sin(angle), np.sin(angle)
        matrix = turn @ matrix
    return matrix


def nifti(folder, name, steps, form, seed):
    shape = (40, 52, 30)
    voxels = head(shape, seed)
    spot = np.array([11, 37, 9])
    affine = np.eye(4)
    affine[:3, :3] = steps
    affine[:3, 3] = [-31.5, 17.25, 60.0]
    voxels[tuple(spot)] = 2000
    image = nibabel.Nifti1Image(voxels, affine)
    image.header.set_xyzt_units("mm")
    image.set_sform(affine, code=1 if form == "sform" else 0)
    image.set_qform(affine, code=1 if form == "qform" else 0)
    path = folder / f"{name}.nii.gz"
    nibabel.save(image, path)
    reread = nibabel.load(path)
    world = nibabel.affines.apply_affine(reread.affine, spot)
    return {"name": name, "dicom": False, "files": [str(path)], "world": world.tolist()}


def dicom(folder, name, row, column, charset, patient):
    """A stack of 24 images of 32 x 44 pixels; positions and directions are LPS."""
    row, column = np.array(row, float), np.array(column, float)
    normal = np.cross(row, column)
    origin = np.array([14.0, -33.0, 5.0])
    spot = np.array([9, 30, 7])
    voxels = head((32, 44, 24), 3)
    voxels[tuple(spot)] = 2000
    study, series = f"{ROOT}.1", f"{ROOT}.1.{len(name)}.{sum(map(ord, name))}"
    paths = []
    for index in range(24):
        meta = FileMetaDataset()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        meta.MediaStorageSOPClassUID = MRImageStorage
        meta.MediaStorageSOPInstanceUID = f"{series}.{index + 1}"
        image = pydicom.Dataset()
        image.file_meta = meta
        image.SpecificCharacterSet = charset
        image.SOPClassUID = MRImageStorage
        image.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
        image.StudyInstanceUID = study
        image.SeriesInstanceUID = series
        image.FrameOfReferenceUID = f"{ROOT}.9"
        image.StudyDate, image.StudyTime = "20260301", "101500"
        image.StudyID, image.AccessionNumber = "S7", "ACC77"
        image.ReferringPhysicianName = "House^Gregory"
        image.PatientName, image.PatientID = patient, "MS-0042"
        image.PatientBirthDate, image.PatientSex, image.PatientAge = "19800229", "F", "046Y"
        image.Modality, image.SeriesDescription = "MR", "t2_flair"
        image.ImageType = ["ORIGINAL", "PRIMARY", "M"]
        image.InstanceNumber = 24 - index
        image.ImagePositionPatient = [round(v, 6) for v in origin + index * 4.0 * normal]
        image.ImageOrientationPatient = [*row.tolist(), *column.tolist()]
        image.PixelSpacing = [0.8, 1.1]
        image.SliceThickness = 4.0
        image.Rows, image.Columns = 44, 32
        image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
        image.BitsAllocated, image.BitsStored, image.HighBit = 16, 16, 15
        image.PixelRepresentation = 1
        image.PixelData = np.ascontiguousarray(voxels[:, :, index].T).tobytes()
        path = folder / f"{name}-{(index * 7) % 24:02}.dcm"
        image.save_as(path, enforce_file_format=True)
        paths.append(str(path))
    lps = origin + row * 1.1 * spot[0] + column * 0.8 * spot[1] + normal * 4.0 * spot[2]
    world = lps * [-1, -1, 1]
    return {"name": name, "dicom": True, "files": sorted(paths), "world": world.tolist()}


def item(**values):
    """A sequence of one item."""
    one = pydicom.Dataset()
    for keyword, value in values.items():
        setattr(one, keyword, value)
    return Sequence([one])


def enhanced(folder, scan):
    """The images of a scan as frames of one object, in their order by name, of a patient whose identity was removed."""
    images = [pydicom.dcmread(path) for path in scan["files"]]
    one = pydicom.dcmread(scan["files"][0])
    one.SOPClassUID = one.file_meta.MediaStorageSOPClassUID = EnhancedMRImageStorage
    one.SOPInstanceUID = one.file_meta.MediaStorageSOPInstanceUID = f"{ROOT}.5.1"
    one.SeriesInstanceUID = f"{ROOT}.5"
    one.SpecificCharacterSet, one.PatientName = "ISO_IR 100", "Anonymous"
    one.PatientIdentityRemoved = "YES"
    one.DeidentificationMethodCodeSequence = item(
        CodeValue="113100", CodingSchemeDesignator="DCM", CodeMeaning="Basic Application Confidentiality Profile")
    one.LossyImageCompression, one.LossyImageCompressionRatio = "01", "7.5"
    one.LossyImageCompressionMethod = "ISO_10918_1"
    shared = pydicom.Dataset()
    shared.PlaneOrientationSequence = item(ImageOrientationPatient=one.ImageOrientationPatient)
    shared.PixelMeasuresSequence = item(PixelSpacing=one.PixelSpacing, SliceThickness=one.SliceThickness)
    one.SharedFunctionalGroupsSequence = Sequence([shared])
    frames = []
    for image in images:
        frame = pydicom.Dataset()
        frame.PlanePositionSequence = item(ImagePositionPatient=image.ImagePositionPatient)
        frames.append(frame)
    one.PerFrameFunctionalGroupsSequence = Sequence(frames)
    one.NumberOfFrames = len(images)
    one.PixelData = b"".join(image.PixelData for image in images)
    for keyword in ["ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"]:
        delattr(one, keyword)
    path = folder / "enhanced.dcm"
    one.save_as(path, enforce_file_format=True)
    return {**scan, "name": "enhanced", "files": [str(path)]}


def main():
    folder = Path(sys.argv[1])
    scans = []
    zooms = np.diag([1.0, 0.9, 3.0])
    for order in itertools.permutations(range(3)):
        for signs in itertools.product([1, -1], repeat=3):
            steps = (np.eye(3)[:, order] * signs) @ zooms
            name = "axes" + "".join("+-"[sign < 0] + "xyz"[axis] for axis, sign in zip(order, signs))
            scans.append(nifti(folder, name.replace("+", "p").replace("-", "m"), steps, "sform", 1))
    for number, degrees in enumerate([(8, 0, 0), (3, -12, 7), (95, 4, -6)]):
        for form in ["sform", "qform"]:
            steps = rotation(degrees) @ zooms
            scans.append(nifti(folder, f"tilted{number}{form}", steps, form, 2))
    left_handed = np.diag([-1.0, 1.0, 1.0]) @ rotation((5, 5, 5)) @ zooms
    scans.append(nifti(folder, "lefthanded", left_handed, "qform", 2))
    scans.append(dicom(folder, "axial", [1, 0, 0], [0, 1, 0], "ISO_IR 100", "Müller^Jürgen"))
    scans.append(dicom(folder, "downwards", [1, 0, 0], [0, -1, 0], "ISO_IR 192", "山田^太郎"))
    japanese = "Yamada^Tarou=山田^太郎=やまだ^たろう"
    scans.append(dicom(folder, "sagittal", [0, 1, 0], [0, 0, -1], ["", "ISO 2022 IR 87"], japanese))
    turned = rotation((6, -9, 4)).round(9)
    scans.append(dicom(folder, "oblique", turned[:, 0], turned[:, 1], "ISO_IR 100", "Müller^Jürgen"))
    scans.append(enhanced(folder, scans[-1]))
    (folder / "scans.json").write_text(json.dumps(scans))


main()
