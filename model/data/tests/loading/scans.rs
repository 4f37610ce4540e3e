//! Single NIfTI files.

use std::path::PathBuf;

use model_data::{Absent, Scan, ScanError, SliceChoice, VolumeError, axial_slices, read_nifti};
use proptest::prelude::*;

use crate::files::{Header, Order, gzipped, head};

fn read(bytes: &[u8]) -> Result<Scan, ScanError> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path: PathBuf = folder.path().join("scan.nii");
    std::fs::write(&path, bytes).expect("writes");
    read_nifti(&path)
}

#[test]
fn every_number_type_and_both_byte_orders_are_read() {
    for order in [Order::Little, Order::Big] {
        macro_rules! reads {
            ($($code:literal => $number:ty),*) => {$({
                let header = Header { order, datatype: $code, ..Header::float32([2, 1, 1]) };
                let voxels = [1 as $number, 100 as $number].map(|value| match order {
                    Order::Little => value.to_le_bytes(),
                    Order::Big => value.to_be_bytes(),
                });
                let scan = read(&header.file(voxels.as_flattened())).expect("reads");
                assert_eq!(scan.volume.voxels(), [1.0, 100.0], "type {} {order:?}", $code);
            })*};
        }
        reads!(2 => u8, 4 => i16, 8 => i32, 16 => f32, 64 => f64, 256 => i8, 512 => u16,
               768 => u32, 1024 => i64, 1280 => u64);
    }
}

#[test]
fn slope_and_intercept_are_applied_and_a_slope_of_zero_means_none() {
    let voxels = |slope| {
        let header = Header {
            datatype: 4,
            slope,
            intercept: -10.0,
            ..Header::float32([2, 1, 1])
        };
        let scan = read(&header.file(&[1, 0, 0, 1])).expect("reads");
        scan.volume.voxels().to_vec()
    };
    assert_eq!(voxels(0.5), [-9.5, 118.0]);
    assert_eq!(voxels(0.0), [1.0, 256.0]);
}

#[test]
fn a_gzipped_file_is_the_same_scan() {
    let file = Header::float32([8, 9, 5]).file(&head([8, 9, 5]));
    let plain = read(&file).expect("reads");
    assert_eq!(read(&gzipped(&file)).expect("reads"), plain);
    assert!(plain.placement.stated);
    assert_eq!(plain.volume.dims(), [8, 9, 5]);
}

#[test]
fn the_same_anatomy_comes_out_the_same_way_up_from_any_axes() {
    let dims = [16, 20, 6];
    let lps = Header::float32(dims).file(&head(dims));
    let expected = read(&lps).expect("reads").volume;
    // The same head stored with its second axis turned round: LAS.
    let voxels = head(dims);
    let row = 16 * 4;
    let mirrored: Vec<u8> = voxels
        .chunks(row * 20)
        .flat_map(|plane| plane.chunks(row).rev().flatten().copied())
        .collect();
    let mut las = Header::float32(dims);
    las.sform = Some([
        [-1.0, 0.0, 0.0, 5.0],
        [0.0, 1.0, 0.0, -7.0],
        [0.0, 0.0, 1.0, 2.0],
    ]);
    let found = read(&las.file(&mirrored)).expect("reads").volume;
    assert_eq!(found, expected);
    let slice = axial_slices(&found, SliceChoice::evenly(1))
        .expect("has tissue")
        .remove(0);
    let (right_front, left_back) = (slice.pixels[30 * 128 + 40], slice.pixels[100 * 128 + 90]);
    assert!(right_front > left_back + 0.5);
}

#[test]
fn what_is_no_volume_is_told_apart() {
    let fine = Header::float32([4, 4, 4]);
    let voxels = head([4, 4, 4]);
    let file = fine.file(&voxels);

    assert!(matches!(read(b""), Err(ScanError::Absent(Absent::Empty))));
    assert!(matches!(
        read(b"this is a text file"),
        Err(ScanError::NotNifti)
    ));
    assert!(matches!(read(&[0xFF; 4000]), Err(ScanError::NotNifti)));
    let pair = Header {
        magic: *b"ni1\0",
        ..fine.clone()
    };
    assert!(matches!(read(&pair.file(&voxels)), Err(ScanError::Pair)));

    for end in [300, 351, 352, file.len() - 1] {
        let cut = read(&file[..end]);
        assert!(
            matches!(cut, Err(ScanError::Truncated { .. } | ScanError::NotNifti)),
            "{cut:?}"
        );
    }
    let zipped = gzipped(&file[..file.len() - 1]);
    let expected = voxels.len() as u64;
    assert!(matches!(
        read(&zipped),
        Err(ScanError::Truncated { expected: e, found }) if e == expected && found == expected - 1
    ));
    let broken = gzipped(&file);
    assert!(matches!(
        read(&broken[..broken.len() / 2]),
        Err(ScanError::Io(_))
    ));

    let series = Header {
        dims: vec![4, 4, 2, 2],
        ..fine.clone()
    };
    assert!(matches!(
        read(&series.file(&voxels)),
        Err(ScanError::NotThreeDimensional { found: 4, .. })
    ));
    let flat = Header {
        dims: vec![16, 16],
        ..fine.clone()
    };
    assert!(matches!(
        read(&flat.file(&voxels)),
        Err(ScanError::NotThreeDimensional { found: 2, .. })
    ));
    let single_frame = Header {
        dims: vec![4, 4, 4, 1, 1],
        ..fine.clone()
    };
    assert_eq!(
        read(&single_frame.file(&voxels))
            .expect("reads")
            .volume
            .dims(),
        [4, 4, 4]
    );
    for datatype in [128, 32, 1792, 0, -3] {
        let header = Header {
            datatype,
            ..fine.clone()
        };
        let found = read(&header.file(&voxels));
        assert!(matches!(found, Err(ScanError::DataType { code }) if code == datatype));
    }
    let unscaled = Header {
        slope: f32::NAN,
        ..fine.clone()
    };
    let plain = read(&file).expect("reads");
    let as_plain = read(&unscaled.file(&voxels)).expect("no slope is none");
    assert_eq!(as_plain.volume, plain.volume);
    let no_axes = Header {
        sform: Some([[0.0; 4]; 3]),
        ..fine.clone()
    };
    assert!(matches!(
        read(&no_axes.file(&voxels)),
        Err(ScanError::Orientation)
    ));
    let mut infinite = voxels.clone();
    infinite[..4].copy_from_slice(&f32::INFINITY.to_le_bytes());
    assert!(matches!(
        read(&fine.file(&infinite)),
        Err(ScanError::Volume(VolumeError::NonFinite { voxels: 1 }))
    ));
}

#[test]
fn a_header_that_promises_too_much_is_refused_before_anything_is_allocated() {
    let vast = Header::float32([32_767, 32_767, 32_767]);
    let file = vast.file(&[0; 64]);
    assert!(matches!(read(&file), Err(ScanError::TooLarge { .. })));
    assert!(matches!(
        read(&gzipped(&file)),
        Err(ScanError::TooLarge { .. })
    ));
    let large = Header::float32([500, 500, 500]).file(&[0; 64]);
    assert!(matches!(
        read(&large),
        Err(ScanError::Truncated { found: 416, .. })
    ));
}

proptest! {
    #[test]
    fn damaged_bytes_are_an_error_or_a_volume_and_never_a_panic(
        damage in prop::collection::vec((0_usize..608, any::<u8>()), 1..12),
        length in 0_usize..608,
    ) {
        let mut file = Header::float32([4, 4, 4]).file(&head([4, 4, 4]));
        for (place, byte) in damage {
            file[place] = byte;
        }
        if let Ok(scan) = read(&file) {
            let _ = axial_slices(&scan.volume, SliceChoice::All { drop_empty: true });
        }
        let _ = read(&file[..length]);
    }
}
