"""Writes NIfTI files and DICOM series with nibabel and pydicom, and what these libraries read back from them.

    make_scans.py FOLDER [DATA]

FOLDER gets `cases.json`, the files, and the expected voxels: right to left fastest, then front to back, then feet to
head, as little-endian numbers. Orientation is nibabel's: `as_closest_canonical`, turned from R, A, S to L, P, S.
DATA, if given, is a folder of real volumes (*.nii, *.nii.gz), which are compared as they are.
"""

import itertools
import json
import pathlib
import random
import sys

import imagecodecs
import nibabel
import numpy
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels import pixel_array
from pydicom.sequence import Sequence
from pydicom import dcmread, uid

out = pathlib.Path(sys.argv[1])
data = pathlib.Path(sys.argv[2]) if len(sys.argv) > 2 else None
rng = numpy.random.default_rng(60)
shuffle = random.Random(60)
cases = []
real = 0


def add_case(name, kind, files, affine, voxels, tolerance=1e-6, dtype="<f8"):
    """`voxels` as the file has them, `affine` from their indices to R, A, S in millimetres."""
    image = nibabel.Nifti1Image(voxels, affine)
    image = nibabel.as_closest_canonical(image)
    patient = numpy.asarray(image.dataobj)[::-1, ::-1, :]
    expected = f"expected/{len(cases)}"
    (out / "expected").mkdir(exist_ok=True)
    (out / expected).write_bytes(patient.astype(dtype).tobytes(order="F"))
    cases.append({
        "name": name,
        "kind": kind,
        "files": [str(file) for file in files],
        "dims": list(patient.shape),
        "spacing_mm": [float(mm) for mm in image.header.get_zooms()],
        "expected": expected,
        "bytes": numpy.dtype(dtype).itemsize,
        "tolerance": tolerance,
    })


# NIfTI

def affine_of(steps, origin=(-31.0, 17.0, 5.0)):
    affine = numpy.eye(4)
    affine[:3, :3] = steps
    affine[:3, 3] = origin
    return affine


def signed_permutations():
    for axes in itertools.permutations(range(3)):
        for signs in itertools.product((1, -1), repeat=3):
            matrix = numpy.zeros((3, 3))
            for column, (axis, sign) in enumerate(zip(axes, signs)):
                matrix[axis, column] = sign
            yield matrix


def rotation(degrees):
    """About x, then y, then z."""
    matrix = numpy.eye(3)
    for axis, angle in enumerate(numpy.radians(degrees)):
        turn = numpy.eye(3)
        a, b = [(1, 2), (2, 0), (0, 1)][axis]
        turn[a, a] = turn[b, b] = numpy.cos(angle)
        turn[b, a] = numpy.sin(angle)
        turn[a, b] = -turn[b, a]
        matrix = turn @ matrix
    return matrix


def nifti(name, affine, dtype, order="<", slope=None, form="sform", suffix=".nii", shape=(5, 4, 3)):
    dtype = numpy.dtype(dtype)
    if dtype.kind == "f":
        stored = rng.normal(0, 1000, shape)
    else:
        limits = numpy.iinfo(dtype)
        stored = rng.integers(limits.min, limits.max, shape, dtype=dtype, endpoint=True)
    stored = stored.astype(dtype)
    header = nibabel.Nifti1Header(endianness=order)
    header.set_data_dtype(dtype.newbyteorder(order))
    image = nibabel.Nifti1Image(stored, None, header)
    image.set_sform(affine if form != "qform" else None, 1 if form != "qform" else 0)
    image.set_qform(affine if form != "sform" else None, 1 if form != "sform" else 0)
    path = out / f"{len(cases)}{suffix}"
    image.to_filename(path)
    if slope:
        # Slope and intercept over the numbers as they were stored.
        scaled = bytearray(path.read_bytes())
        scaled[112:120] = numpy.array(slope, order + "f4").tobytes()
        path.write_bytes(bytes(scaled))
    add_nifti(name, path)


def add_nifti(name, path, dtype="<f8"):
    image = nibabel.load(path)
    add_case(name, "nifti", [path], image.affine, image.get_fdata(), dtype=dtype)


zooms = numpy.diag([0.5, 0.75, 3.0])
plain = affine_of(numpy.diag([-0.5, -0.75, 3.0]))
for dtype in ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"):
    for order in "<>":
        for slope in (None, (0.25, -7.5), (-3.0, 1024.0)):
            nifti(f"{dtype} {order} slope {slope}", plain, dtype, order, slope)
for number, matrix in enumerate(signed_permutations()):
    for form in ("sform", "qform"):
        nifti(f"axes {number} by {form}", affine_of(matrix @ zooms), "i2", form=form)
    nifti(f"axes {number} big-endian", affine_of(matrix @ zooms), "f4", order=">", suffix=".nii.gz")
for number in range(60):
    turned = rotation(rng.uniform(-180, 180, 3))
    nifti(f"turned {number}", affine_of(turned @ zooms), "i2", form="both" if number % 3 else "qform")
    sheared = turned @ (numpy.eye(3) + rng.uniform(-0.2, 0.2, (3, 3))) @ zooms
    nifti(f"sheared {number}", affine_of(sheared), "i2")
if data:
    for path in sorted(data.rglob("*.nii*")):
        add_nifti(str(path.relative_to(data)), path, dtype="<f4")
        real += 1


# DICOM

LPS_TO_RAS = numpy.diag([-1.0, -1.0, 1.0])


def patient_affine(first):
    """From the attributes alone (PS3.3, C.7.6.2.1.1)."""
    along_row = numpy.array(first["orientation"][:3])
    down_column = numpy.array(first["orientation"][3:])
    rows_mm, columns_mm = first["spacing"]
    normal = numpy.cross(along_row, down_column)
    steps = numpy.column_stack([along_row * columns_mm, down_column * rows_mm, normal * first["gap"]])
    return affine_of(LPS_TO_RAS @ steps, LPS_TO_RAS @ first["position"])


def base(syntax, rows, columns, bits, high=None, signed=0, photometric="MONOCHROME2"):
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = uid.MRImageStorage
    meta.MediaStorageSOPInstanceUID = uid.generate_uid()
    meta.TransferSyntaxUID = syntax
    instance = Dataset()
    instance.file_meta = meta
    instance.SOPClassUID = uid.MRImageStorage
    instance.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    instance.Modality = "MR"
    instance.PatientID = "P"
    instance.PatientName = "Müller^Łucja"
    instance.SpecificCharacterSet = "ISO_IR 192"
    instance.SeriesDescription = "t2_flair"
    instance.ImageType = ["ORIGINAL", "PRIMARY"]
    instance.SamplesPerPixel = 1
    instance.PhotometricInterpretation = photometric
    instance.Rows, instance.Columns = rows, columns
    instance.BitsAllocated, instance.BitsStored = bits
    instance.HighBit = instance.BitsStored - 1 if high is None else high
    instance.PixelRepresentation = signed
    # An icon inside a sequence has rows, columns and pixels of its own, which are nobody's business.
    icon = Dataset()
    icon.SamplesPerPixel, icon.PhotometricInterpretation = 1, "MONOCHROME1"
    icon.Rows, icon.Columns, icon.BitsAllocated, icon.BitsStored, icon.HighBit = 2, 2, 8, 8, 7
    icon.PixelRepresentation = 0
    icon.PixelData = b"\1\2\3\4"
    icon["PixelData"].VR = "OB" if syntax != uid.ImplicitVRLittleEndian else "OW"
    instance.IconImageSequence = Sequence([icon])
    return instance


def put_pixels(instance, stored):
    """`stored`: rows x columns, or frames x rows x columns, as the cells are."""
    syntax = instance.file_meta.TransferSyntaxUID
    frames = stored if stored.ndim == 3 else stored[None]
    if syntax in JPEG:
        encoded = [JPEG[syntax](frame) for frame in frames]
        instance.PixelData = encapsulate(encoded)
        instance["PixelData"].VR = "OB"
    elif syntax == uid.RLELossless:
        instance.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
        instance.PixelData = stored.astype(stored.dtype.newbyteorder("<")).tobytes()
        instance["PixelData"].VR = "OW"
        instance.compress(uid.RLELossless, generate_instance_uid=False)
    else:
        order = ">" if syntax == uid.ExplicitVRBigEndian else "<"
        cells = stored.astype(stored.dtype.newbyteorder(order)).tobytes()
        words = instance.BitsAllocated > 8 or "OW" in instance.get("ImageComments", "")
        if words and instance.BitsAllocated == 8 and order == ">":
            # Bytes as big-endian words: pairs change places.
            cells = numpy.frombuffer(cells, "u1").reshape(-1, 2)[:, ::-1].tobytes()
        instance.PixelData = cells + b"\0" * (len(cells) % 2)
        instance["PixelData"].VR = "OW" if words else "OB"


def lossless(predictor):
    return lambda frame: imagecodecs.ljpeg_encode(numpy.ascontiguousarray(frame.view(f"u{frame.itemsize}")))


def jpeg_2000(frame, **settings):
    # Signed cells make a signed stream.
    return imagecodecs.jpeg2k_encode(numpy.ascontiguousarray(frame), codecformat="j2k", **settings)


def reversible(frame):
    # As many bits as the values take.
    bits = int(abs(frame.astype("i8") + (frame < 0)).max()).bit_length() + (frame.dtype.kind == "i")
    return jpeg_2000(frame, level=0, reversible=True, bitspersample=bits)


JPEG = {
    uid.JPEGLossless: lossless(4),
    uid.JPEGLosslessSV1: lossless(1),
    uid.JPEGBaseline8Bit: lambda frame: imagecodecs.jpeg8_encode(numpy.ascontiguousarray(frame), level=90),
    uid.JPEG2000Lossless: reversible,
    uid.JPEG2000: lambda frame: jpeg_2000(frame, level=50, reversible=False),
}
LOSSY = {uid.JPEGBaseline8Bit: imagecodecs.jpeg8_decode, uid.JPEG2000: imagecodecs.jpeg2k_decode}


def save(instance, path):
    instance.save_as(path, enforce_file_format=True)


def random_cells(shape, bits, signed):
    allocated, stored = bits
    if signed:
        return rng.integers(-(1 << stored - 1), 1 << stored - 1, shape).astype(f"i{allocated // 8}")
    return rng.integers(0, 1 << stored, shape).astype(f"u{allocated // 8}")


def values(instance):
    """pydicom's pixels; MONOCHROME1 turned over within the range of the stored bits."""
    pixels = pixel_array(instance).astype("f8")
    if instance.PhotometricInterpretation == "MONOCHROME1":
        highest_and_lowest = -1 if instance.PixelRepresentation else (1 << instance.BitsStored) - 1
        pixels = highest_and_lowest - pixels
    return pixels


def smooth(shape):
    grid = numpy.indices(shape).sum(axis=0)
    return (100 + 90 * numpy.sin(grid / 5)).astype("u1")


def series(name, syntax, matrix=numpy.eye(3), bits=(16, 12), signed=0, high=None, scales=None, tolerance=1e-6,
           photometric="MONOCHROME2", shape=(4, 6, 5), cells=None, comment=""):
    """Classic images. `matrix`: columns are the directions along a row and down a column, in L, P, S."""
    count, rows, columns = shape
    along_row, down_column = matrix[:, 0], matrix[:, 1]
    normal = numpy.cross(along_row, down_column)
    gap, spacing = 3.25, (0.75, 0.5)
    cells = random_cells(shape, bits, signed) if cells is None else cells
    suid, folder = uid.generate_uid(), out / f"{len(cases)}"
    folder.mkdir()
    names = list(range(count))
    shuffle.shuffle(names)
    files, stack = [], []
    for index in range(count):
        instance = base(syntax, rows, columns, bits, high, signed, photometric)
        if comment:
            instance.ImageComments = comment
        instance.SeriesInstanceUID = suid
        # Neither says where the image lies.
        instance.InstanceNumber = names[index] + 1
        position = numpy.array([11.0, -42.5, 7.25]) + index * gap * normal
        instance.ImagePositionPatient = [f"{mm:.9g}"[:16] for mm in position]
        instance.ImageOrientationPatient = [f"{c:.10f}"[:16] for c in (*along_row, *down_column)]
        instance.PixelSpacing = [str(mm) for mm in spacing]
        instance.SliceThickness = "9"
        slope, intercept = scales[index % len(scales)] if scales else (None, None)
        if slope is not None:
            instance.RescaleSlope, instance.RescaleIntercept = str(slope), str(intercept)
        left = 0 if high is None else high + 1 - bits[1]
        put_pixels(instance, cells[index] << left if left else cells[index])
        path = folder / f"{names[index]:03}.dcm"
        save(instance, path)
        files.append(path)
        if syntax in LOSSLESS or left:
            # pydicom does not decode it without further libraries, or not where HighBit is; nothing was lost.
            pixels = cells[index].astype("f8")
        elif syntax in LOSSY:
            pixels = LOSSY[syntax](JPEG[syntax](cells[index])).astype("f8")
        else:
            pixels = values(dcmread(path))
            if photometric == "MONOCHROME2":
                assert (pixels == cells[index]).all(), name
        stack.append(pixels * (1 if slope is None else slope) + (intercept or 0))
    first = {"orientation": [*along_row, *down_column], "position": numpy.array([11.0, -42.5, 7.25]),
             "spacing": spacing, "gap": gap}
    # Columns, rows, images: as the steps of the affine.
    voxels = numpy.stack(stack).transpose(2, 1, 0)
    shuffle.shuffle(files)
    add_case(name, "dicom", files, patient_affine(first), voxels, tolerance)


LOSSLESS = (uid.JPEGLossless, uid.JPEGLosslessSV1, uid.JPEG2000Lossless)
native = {"implicit": uid.ImplicitVRLittleEndian, "explicit": uid.ExplicitVRLittleEndian,
          "big-endian": uid.ExplicitVRBigEndian, "deflated": uid.DeflatedExplicitVRLittleEndian,
          "RLE": uid.RLELossless}
for label, syntax in native.items():
    for bits in ((8, 8), (16, 8), (16, 12), (16, 16), (32, 32), (32, 20)):
        # pydicom writes no 32 bits as RLE, and 8 bits in 16 in a way that it does not read itself.
        if label == "RLE" and bits not in ((8, 8), (16, 12), (16, 16)):
            continue
        for signed in (0, 1):
            series(f"{label} {bits} signed {signed}", syntax, bits=bits, signed=signed)
series("big-endian bytes in words", uid.ExplicitVRBigEndian, bits=(8, 8), comment="OW")
series("implicit, an odd number of bytes", uid.ImplicitVRLittleEndian, bits=(8, 8), shape=(3, 5, 5))
for syntax in LOSSLESS:
    for bits in ((8, 8), (16, 12), (16, 16)):
        series(f"{syntax.name} {bits}", syntax, bits=bits)
    series(f"{syntax.name} signed", syntax, bits=(16, 16), signed=1)
series("JPEG 2000 of several code-blocks", uid.JPEG2000Lossless, bits=(16, 12), signed=1, shape=(2, 150, 131))
# Two decoders may round differently.
series("JPEG baseline", uid.JPEGBaseline8Bit, bits=(8, 8), shape=(3, 24, 32), cells=smooth((3, 24, 32)), tolerance=2.0)
for signed in (0, 1):
    ramp = 18 * smooth((3, 70, 90)).astype("i2") - 1800 * signed
    series(f"JPEG 2000, lossy, signed {signed}", uid.JPEG2000, signed=signed, shape=ramp.shape, cells=ramp.astype("ui"[signed] + "2"),
           tolerance=1.0)
series("slope", uid.ExplicitVRLittleEndian, scales=[(0.125, -7)])
series("a slope for each image", uid.ExplicitVRLittleEndian, signed=1, scales=[(1.5, 3), (2.25, -1), (-0.5, 0)])
series("MONOCHROME1", uid.ExplicitVRLittleEndian, photometric="MONOCHROME1")
series("MONOCHROME1 signed", uid.RLELossless, photometric="MONOCHROME1", signed=1, scales=[(2, 5)])
series("left-justified", uid.ExplicitVRLittleEndian, high=15)
for number, matrix in enumerate(signed_permutations()):
    if numpy.linalg.det(matrix) > 0:
        series(f"plane {number}", uid.ExplicitVRLittleEndian, matrix)
        tilted = rotation([14, -9, 11]) @ matrix
        series(f"tilted plane {number}", uid.ImplicitVRLittleEndian, tilted)
for number in range(30):
    series(f"turned {number}", uid.ExplicitVRLittleEndian, rotation(rng.uniform(-180, 180, 3)))
series("a single image", uid.ExplicitVRLittleEndian, shape=(1, 6, 5))
cases[-1]["spacing_mm"][2] = 9.0


def enhanced(name, syntax, matrix=numpy.eye(3), shared=True, shape=(4, 6, 5)):
    """One object of many frames, in no order, each with a slope of its own."""
    count, rows, columns = shape
    along_row, down_column = matrix[:, 0], matrix[:, 1]
    gap = 2.0
    cells = random_cells(shape, (16, 12), 0)
    instance = base(syntax, rows, columns, (16, 12))
    instance.SOPClassUID = instance.file_meta.MediaStorageSOPClassUID = uid.EnhancedMRImageStorage
    instance.SeriesInstanceUID = uid.generate_uid()
    instance.NumberOfFrames = count
    orientation, measures = Dataset(), Dataset()
    orientation.ImageOrientationPatient = [f"{c:.10f}"[:16] for c in (*along_row, *down_column)]
    measures.PixelSpacing = ["0.75", "0.5"]
    measures.SliceThickness = "2"
    common = Dataset()
    if shared:
        common.PlaneOrientationSequence = Sequence([orientation])
        common.PixelMeasuresSequence = Sequence([measures])
    instance.SharedFunctionalGroupsSequence = Sequence([common])
    heights = list(range(count))
    shuffle.shuffle(heights)
    groups, stack = [], [None] * count
    for frame, height in enumerate(heights):
        position, transform, group = Dataset(), Dataset(), Dataset()
        mm = numpy.array([1.0, 2.0, 3.0]) + height * gap * numpy.cross(along_row, down_column)
        position.ImagePositionPatient = [f"{c:.9g}"[:16] for c in mm]
        transform.RescaleSlope, transform.RescaleIntercept = str(1 + frame / 4), str(-frame)
        transform.RescaleType = "US"
        group.PlanePositionSequence = Sequence([position])
        group.PixelValueTransformationSequence = Sequence([transform])
        if not shared:
            group.PlaneOrientationSequence = Sequence([orientation])
            group.PixelMeasuresSequence = Sequence([measures])
        groups.append(group)
        stack[height] = cells[frame] * (1 + frame / 4) - frame
    instance.PerFrameFunctionalGroupsSequence = Sequence(groups)
    put_pixels(instance, cells)
    path = out / f"{len(cases)}.dcm"
    save(instance, path)
    read = dcmread(path)
    if syntax not in LOSSLESS:
        assert (pixel_array(read) == cells).all(), name
    first = {"orientation": [*along_row, *down_column], "position": numpy.array([1.0, 2.0, 3.0]),
             "spacing": (0.75, 0.5), "gap": gap}
    add_case(name, "dicom", [path], patient_affine(first), numpy.stack(stack).transpose(2, 1, 0))


for label, syntax in (*native.items(), ("JPEG lossless", uid.JPEGLosslessSV1)):
    enhanced(f"enhanced {label}", syntax)
    enhanced(f"enhanced {label}, sagittal, groups of each frame", syntax,
             numpy.array([[0.0, 0, 1], [1, 0, 0], [0, -1, 0]]), shared=False)

(out / "cases.json").write_text(json.dumps(cases))
print(f"{len(cases)} files and series by nibabel {nibabel.__version__} and pydicom, {real} of them real volumes")
