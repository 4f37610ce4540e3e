//! UIDs that a repeated prediction gives again.
//!
//! A UID is that of a UUID (PS3.5, B.2: `2.25.` and its number) whose bits come from a SHA-256 over what the object is of: the model, how
//! clinical features entered, the source and the kind of object. The same model asked again about the same scan gives objects with the
//! same UIDs, so an archive does not collect copies; which of two it keeps is a setting of the archive. Another model, or other
//! images, give other UIDs.

use aws_lc_rs::digest;

use crate::PredictedBy;

/// What is named.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    ReportSeries,
    Report,
    /// The group of measurements that a report of the same patient and model can be followed by.
    Tracking,
    CaptureSeries,
    Capture,
    /// The program, as an observer.
    Device,
}

/// The UID of a `kind` made by a model of these sources.
pub(super) fn derived<'a>(
    kind: Kind,
    model: &PredictedBy,
    sources: impl IntoIterator<Item = &'a str>,
) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    let mut add = |part: &str| {
        context.update(&(part.len() as u64).to_le_bytes());
        context.update(part.as_bytes());
    };
    add("myelin DICOM UID, version 1");
    add(&format!("{kind:?}"));
    add(&model.model_hash);
    add(&model.conditioning);
    sources.into_iter().for_each(add);
    let digest = context.finish();
    let mut uuid = [0; 16];
    uuid.copy_from_slice(&digest.as_ref()[..16]);
    // RFC 9562: version 8, made as its maker likes, of the common variant.
    uuid[6] = uuid[6] & 0x0f | 0x80;
    uuid[8] = uuid[8] & 0x3f | 0x80;
    format!("2.25.{}", u128::from_be_bytes(uuid))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::example;

    #[test]
    fn the_same_question_has_the_same_uid_and_another_has_not() {
        let model = example().model;
        let first = derived(Kind::Report, &model, ["1.2", "3"]);
        assert_eq!(first, derived(Kind::Report, &model, ["1.2", "3"]));
        assert!(first.starts_with("2.25.") && first.len() <= 44);
        let mut other = model.clone();
        other.model_hash.replace_range(..1, "f");
        for different in [
            derived(Kind::Capture, &model, ["1.2", "3"]),
            derived(Kind::Report, &model, ["1.23"]),
            derived(Kind::Report, &other, ["1.2", "3"]),
        ] {
            assert_ne!(first, different);
        }
    }
}
