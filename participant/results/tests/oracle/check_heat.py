"""Whether the hottest place of each heat map lies where the bright voxel of its scan is.

    check_heat.py CASES.json

A case has the path of a heat map, the position in the world, and how far off the middle of the hottest pixels may lie, in mm.
"""

import json
import sys

import nibabel
import numpy as np

cases = json.load(open(sys.argv[1]))
wrong = 0
for case in cases:
    image = nibabel.load(case["heat"])
    heat = np.asarray(image.dataobj)
    assert image.header.get_data_dtype() == np.float32, image.header.get_data_dtype()
    assert heat.shape[:2] == (128, 128), heat.shape
    assert image.header.get_xyzt_units()[0] == "mm"
    assert b"Not for diagnosis" in image.header["descrip"].tobytes()
    weights = heat / heat.sum()
    places = np.stack(np.indices(heat.shape), -1).reshape(-1, 3)
    middle = (places * weights.reshape(-1, 1)).sum(0)
    world = nibabel.affines.apply_affine(image.affine, middle)
    off = np.linalg.norm(world - case["world"])
    if off > case["tolerance_mm"]:
        print(f"{case['name']}: {world} where {case['world']} is expected, {off:.2f} mm off")
        wrong += 1
print(f"{len(cases)} heat maps compared with nibabel")
assert cases
sys.exit(wrong > 0)
