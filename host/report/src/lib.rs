//! What people read: pictures and pages, from plain numbers.
//!
//! | module | what |
//! |---|---|
//! | [`pictures`] | curves, matrices, ROC and slices, for pages and as PNG files |
//! | [`clinical`] | what a clinician asks of a test |
//! | [`page`] | a page that carries all it shows |
//! | [`montage`] | many small images with words, for pages |
//! | [`links`] | where a page would ask a network for something |
//!
//! It knows nothing of federations and models: who has results says here what is to be drawn.

#![forbid(unsafe_code)]

pub mod clinical;
pub mod links;
pub mod montage;
pub mod page;
pub mod pictures;
