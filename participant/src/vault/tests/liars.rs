//! Hospitals and a coordinator that lie, and who is named for it.
