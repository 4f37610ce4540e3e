//! Where prepared slices are kept between runs: in the user's cache folder.

use std::{env, path::PathBuf};

use model_data::CacheChoice;

/// `myelin/slices` in the user's cache folder; `None` where there is none.
///
/// Several data sets share it, so that nothing is ever removed from it. It may be deleted at any time.
pub fn slice_cache() -> Option<CacheChoice> {
    let path = |name| env::var_os(name).map(PathBuf::from);
    // The XDG base directory specification: a path that is not absolute is to be ignored.
    let cache_home = path("XDG_CACHE_HOME").filter(|folder| folder.is_absolute());
    let cache_home = cache_home.or_else(|| path("HOME").map(|home| home.join(".cache")))?;
    Some(CacheChoice {
        folder: cache_home.join("myelin").join("slices"),
        forget_others: false,
    })
}
