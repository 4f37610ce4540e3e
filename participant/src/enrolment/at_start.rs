//! What a participant looks after before it takes part: a certificate that ends soon, and a roster that it has signed.

use std::{path::Path, time::Duration};

use host::key_files::NamedFile;
use tokio::time::sleep;

use super::RosterRefused;
use crate::settings::Settings;

impl Settings {
    /// Renews a certificate that ends soon, and takes over a roster that was signed here once it is published: without any roster, it
    /// waits for one. `config` is the settings file. To be called inside a tokio runtime; drop the future to give up.
    ///
    /// # Errors
    /// [`RosterRefused`] if there is no roster, and waiting would not help.
    pub async fn follow_roster(&self, config: &Path) -> Result<(), RosterRefused> {
        self.look_after_certificate(config).await;
        let key = NamedFile::new("keys.signing_key", &self.keys.signing_key).signing_key();
        // Files that cannot be read are named when they are used.
        let Ok(key) = key else {
            return Ok(());
        };
        let Ok(files) = self.roster_files(&key) else {
            return Ok(());
        };
        let Ok(true) = files.awaits_another() else {
            return Ok(());
        };
        let has_one = self.roster.exists();
        let Ok(desk) = self.desk(&key) else {
            return Ok(());
        };
        let mut has_told = false;
        loop {
            let taken = match files.published(&desk).await {
                // Another one than people here have looked at.
                Ok(offered) if has_one && !files.has_signed(&offered.roster)? => {
                    Err(RosterRefused::NotPublished)
                }
                Ok(offered) => files
                    .take_over(&offered, None)
                    .map(|is_new| (offered, is_new)),
                Err(error) => Err(error),
            };
            match taken {
                Ok((offered, true)) => {
                    tracing::info!(
                        epoch = offered.roster.epoch(),
                        "took over the roster that the coordinator has published"
                    );
                    return Ok(());
                }
                Ok((_, false)) => return Ok(()),
                Err(error) if has_one => {
                    tracing::warn!("going on with the roster that is here: {error}");
                    return Ok(());
                }
                Err(error) if error.is_passing() => {
                    if !has_told {
                        tracing::info!("waiting for a roster: {error}");
                    }
                    has_told = true;
                }
                Err(error) => return Err(error),
            }
            sleep(BETWEEN_QUESTIONS).await;
        }
    }
}

const BETWEEN_QUESTIONS: Duration = Duration::from_secs(5);
