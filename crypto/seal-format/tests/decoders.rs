//! Any bytes are a value or an error: what the fuzz targets run, on a few inputs in every test.

#[path = "../../fuzz/src/decoder.rs"]
#[expect(dead_code, reason = "every object of SEAL has several forms")]
mod decoder;
#[path = "../../fuzz/src/edits.rs"]
mod edits;
#[path = "../fuzz/src/files.rs"]
mod files;
#[path = "../../tests/decoders/properties.rs"]
mod properties;

use decoder::Decoder;

fn decoders() -> impl Iterator<Item = &'static Decoder> {
    files::ALL.into_iter()
}
