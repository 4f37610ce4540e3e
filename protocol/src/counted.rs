//! Numbers of things, as people say them.

/// A number with its noun, of which both forms are given: one, and several.
///
/// ```
/// use protocol::counted::counted;
///
/// assert_eq!(counted(1_u32, ["scan", "scans"]), "1 scan");
/// assert_eq!(counted(0_u32, ["scan", "scans"]), "0 scans");
/// ```
pub fn counted(count: impl Into<Count>, [one, several]: [&str; 2]) -> String {
    match count.into().0 {
        1 => format!("1 {one}"),
        count => format!("{count} {several}"),
    }
}

/// A whole number of things, of whichever type it was.
pub struct Count(u128);

impl From<usize> for Count {
    fn from(count: usize) -> Self {
        Self(count as u128)
    }
}

impl From<u64> for Count {
    fn from(count: u64) -> Self {
        Self(count.into())
    }
}

impl From<u32> for Count {
    fn from(count: u32) -> Self {
        Self(count.into())
    }
}

impl From<u8> for Count {
    fn from(count: u8) -> Self {
        Self(count.into())
    }
}
