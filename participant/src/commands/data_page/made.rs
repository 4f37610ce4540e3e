//! How the page was made.

use ::report::pictures::escape;
use model_data::{LoadOptions, SliceChoice, SplitKind};

use super::{super::data_kinds::plain, Names, Page};

/// Date, version and command. The folder is named only where names are told.
pub fn section(page: &Page<'_>, date: &str) -> String {
    let folder = match page.names {
        Names::Told => page.folder.display().to_string(),
        Names::Withheld => "DIR".to_owned(),
    };
    let mut command = format!("participant data check {folder}{}", flags(page.options));
    if page.split == SplitKind::Slice {
        command += " --split slice";
    }
    command += " --html FILE";
    if page.names == Names::Told {
        command += " --with-ids";
    }
    format!(
        "<h2>How this page was made</h2><p>On {} by myelin {}, with</p><p><code>{}</code></p>\
         <p>Nothing was trained or sent. The page carries all that it shows and asks nothing of any network.</p>",
        escape(date),
        version::VERSION,
        escape(&plain(&command)),
    )
}

/// What differs from the defaults, and the contrasts.
fn flags(options: &LoadOptions) -> String {
    let contrasts: Vec<&str> = { options.contrasts.iter() }
        .map(|contrast| contrast.name())
        .collect();
    let mut flags = format!(" --contrasts {}", contrasts.join(","));
    if !options.features.is_study() {
        flags += &format!(" --feature-columns \"{}\"", options.features);
    }
    if let SliceChoice::Evenly { count, .. } = options.slices {
        flags += &format!(" --slices-per-patient {count}");
    }
    if options.memory_limit_mib != LoadOptions::MEMORY_LIMIT_MIB {
        flags += &format!(" --memory-limit-mib {}", options.memory_limit_mib);
    }
    flags
}
