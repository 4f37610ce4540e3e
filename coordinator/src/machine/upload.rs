//! The bytes of an upload, wherever the shell keeps them: in memory or in a file. The machine reads them when they arrive, and a
//! contribution that is to be left out of its sum once more.

use std::{io, sync::Arc};

/// An upload that the machine may read again, until it lets go of it.
pub trait UploadedBytes: Send {
    /// Its length in bytes.
    fn length(&self) -> u64;

    /// All bytes. Those that are not in memory are read into `buffer`, which is made as long as they are.
    ///
    /// # Errors
    /// If they cannot be read.
    fn read<'a>(&'a self, buffer: &'a mut Vec<u8>) -> io::Result<&'a [u8]>;
}

impl UploadedBytes for Vec<u8> {
    fn length(&self) -> u64 {
        self.len() as u64
    }

    fn read<'a>(&'a self, _: &'a mut Vec<u8>) -> io::Result<&'a [u8]> {
        Ok(self)
    }
}

impl UploadedBytes for Arc<[u8]> {
    fn length(&self) -> u64 {
        self.len() as u64
    }

    fn read<'a>(&'a self, _: &'a mut Vec<u8>) -> io::Result<&'a [u8]> {
        Ok(self)
    }
}
