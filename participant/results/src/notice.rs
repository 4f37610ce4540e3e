//! What every output says of itself.

/// In tables, pictures and names, where there is room for three words.
pub const NOTICE: &str = "Not for diagnosis";

/// Where there is room for the reason.
pub const NOTICE_IN_FULL: &str = "Not for diagnosis. This is the output of a research program that has not been approved as a \
                                  medical device. Do not base care of a patient on it.";
