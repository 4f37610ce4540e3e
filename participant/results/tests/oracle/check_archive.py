"""Whether an Orthanc has the objects of some files and no others, with the values and pixels of the files.

    check_archive.py URL FILE..
"""

import io
import json
import sys
import urllib.request

import pydicom


def asked(path):
    # Nothing of the environment, such as a proxy, stands between.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url + path) as answer:
        return answer.read()


url, files = sys.argv[1], sys.argv[2:]
stored = {}
for instance in json.loads(asked("/instances")):
    data = pydicom.dcmread(io.BytesIO(asked(f"/instances/{instance}/file")))
    stored[data.SOPInstanceUID] = data
expected = {data.SOPInstanceUID: data for data in map(pydicom.dcmread, files)}
assert stored.keys() == expected.keys(), (len(stored), len(expected))
for uid, data in expected.items():
    found = stored[uid]
    assert str(found.PatientName) == str(data.PatientName)
    for element in data:
        other = found[element.tag]
        assert other.value == element.value, f"{element} became {other}"
    assert len(found) == len(data)
(patient,) = json.loads(asked("/patients"))
series = [json.loads(asked(f"/series/{name}")) for name in json.loads(asked("/series"))]
assert sorted(one["MainDicomTags"]["Modality"] for one in series) == ["OT", "SR"], series
print(f"Orthanc has {len(stored)} objects as they were sent")
