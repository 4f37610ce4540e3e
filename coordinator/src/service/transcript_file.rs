//! `transcript.jsonl`: the signed hash chain, one line a settled round, on disk before the run goes on.
//!
//! A run that is taken up again tells of its last settled round once more; a line that is there is not written twice. What a crash
//! or a full disk has left of a line is cut off.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

use host::private_folder::open_private_file;
use serde::Deserialize;

use super::records_error::RecordsError;
use crate::machine::TranscriptEntry;

pub(super) struct TranscriptFile {
    file: File,
    path: PathBuf,
    /// Bytes of whole lines.
    length: u64,
    /// T of the last line.
    last: Option<String>,
}

/// What is read of a line.
#[derive(Deserialize)]
struct Line {
    transcript: String,
}

impl TranscriptFile {
    /// Opens or makes the file, and cuts off a last line that has no end.
    pub(super) fn open(path: &Path) -> Result<Self, RecordsError> {
        let mut file = open_private_file(path).map_err(RecordsError::at(path))?;
        let (length, last) = heal(&mut file, path).map_err(RecordsError::at(path))?;
        Ok(Self {
            file,
            path: path.to_owned(),
            length,
            last,
        })
    }

    /// Writes a line, synced, unless it is the last one already.
    pub(super) fn append(&mut self, entry: &TranscriptEntry) -> Result<(), RecordsError> {
        if self.last.as_ref() == Some(&entry.transcript) {
            return Ok(());
        }
        let mut line =
            serde_json::to_vec(entry).expect("an entry has no map with keys that are not text");
        line.push(b'\n');
        self.write(&line).map_err(RecordsError::at(&self.path))?;
        self.length += line.len() as u64;
        self.last = Some(entry.transcript.clone());
        Ok(())
    }

    /// Behind the last whole line, whatever an attempt before has left there.
    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        self.file.set_len(self.length)?;
        self.file.seek(SeekFrom::Start(self.length))?;
        self.file.write_all(line)?;
        self.file.sync_data()
    }
}

/// Cuts off what follows the last end of a line; gives the length that is left, and T of the last line.
fn heal(file: &mut File, path: &Path) -> io::Result<(u64, Option<String>)> {
    let found = file.metadata()?.len();
    let length = end_of_line_before(file, found)?;
    if length < found {
        tracing::warn!(
            file = %path.display(),
            bytes = found - length,
            "the last line of the transcript was cut short when the coordinator was stopped; what is there of it is cut off"
        );
        file.set_len(length)?;
        file.sync_data()?;
    }
    let begin = end_of_line_before(file, length.saturating_sub(1))?;
    let mut line = Vec::new();
    file.seek(SeekFrom::Start(begin))?;
    file.take(length - begin).read_to_end(&mut line)?;
    let line: Option<Line> = serde_json::from_slice(&line).ok();
    Ok((length, line.map(|line| line.transcript)))
}

/// The place behind the last end of a line in the first `length` bytes; 0 if there is none.
fn end_of_line_before(file: &mut File, length: u64) -> io::Result<u64> {
    let mut end = length;
    let mut piece = vec![0; PIECE_BYTES];
    while end > 0 {
        let begin = end.saturating_sub(PIECE_BYTES as u64);
        let piece = &mut piece[..usize::try_from(end - begin).unwrap_or(PIECE_BYTES)];
        file.seek(SeekFrom::Start(begin))?;
        file.read_exact(piece)?;
        if let Some(place) = piece.iter().rposition(|&byte| byte == b'\n') {
            return Ok(begin + place as u64 + 1);
        }
        end = begin;
    }
    Ok(0)
}

const PIECE_BYTES: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, fs};

    use protocol::digests::RoundNumber;

    use super::*;

    fn entry(round: u32) -> TranscriptEntry {
        TranscriptEntry {
            round: RoundNumber::new(round),
            purpose: "update".into(),
            contributors: vec![1, 2],
            transcript_before: format!("T{}", round - 1),
            header_hash: String::new(),
            contributors_hash: String::new(),
            sum_root: String::new(),
            model_hash: String::new(),
            transcript: format!("T{round}"),
            // Longer than what is read at a time.
            header: "ab".repeat(PIECE_BYTES),
            request: String::new(),
            closed: BTreeMap::new(),
            failed: BTreeMap::new(),
        }
    }

    fn rounds(path: &Path) -> Vec<u64> {
        let text = fs::read_to_string(path).expect("a file");
        let line = |line: &str| serde_json::from_str::<serde_json::Value>(line).expect("JSON");
        let number = |line: serde_json::Value| line["round"].as_u64().expect("a number");
        text.lines().map(line).map(number).collect()
    }

    #[test]
    fn a_line_is_written_once_also_across_restarts() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("transcript.jsonl");
        for round in [1, 1, 2] {
            let mut file = TranscriptFile::open(&path).expect("opened");
            file.append(&entry(round)).expect("written");
            file.append(&entry(round)).expect("nothing to do");
        }
        assert_eq!(rounds(&path), [1, 2]);
    }

    #[test]
    fn a_line_cut_at_any_byte_is_cut_off_and_written_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("transcript.jsonl");
        for round in [1, 2] {
            let mut file = TranscriptFile::open(&path).expect("opened");
            file.append(&entry(round)).expect("written");
        }
        let whole = fs::read(&path).expect("a file");
        let first = whole.len() / 2;
        for length in [
            0,
            1,
            first - 1,
            first,
            first + 1,
            first + 70_000,
            whole.len() - 1,
        ] {
            fs::write(&path, &whole[..length]).expect("written");
            let mut file = TranscriptFile::open(&path).expect("opened");
            let kept: Vec<u64> = if length < first { vec![] } else { vec![1] };
            assert_eq!(rounds(&path), kept, "{length} bytes");
            file.append(&entry(2)).expect("written");
            assert_eq!(rounds(&path).last(), Some(&2), "{length} bytes");
        }
    }

    #[test]
    fn what_is_no_line_of_ours_is_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("transcript.jsonl");
        fs::write(&path, "not JSON\n").expect("written");
        let mut file = TranscriptFile::open(&path).expect("opened");
        file.append(&entry(1)).expect("written");
        let text = fs::read_to_string(&path).expect("a file");
        assert!(text.starts_with("not JSON\n{"), "{}", &text[..20]);
    }
}
