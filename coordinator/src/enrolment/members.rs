//! Who was invited, who has asked, who was approved: an SQLite database that commands and the running coordinator use at once.

use std::{
    io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crypto::{
    hash::Digest,
    sealed_sum::{HospitalId, MAX_HOSPITALS},
};
use host::private_folder::open_private_file;
use protocol::{
    enrolment::keys_hash,
    identity::PublicKey,
    roster::{MemberEntry, RosterFile},
    spoken::{Length, spoken},
};
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, Row, params};

/// The database.
pub struct Members {
    connection: Connection,
    path: PathBuf,
}

/// One that has asked to join, or is a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// By which it was invited.
    pub name: String,
    /// Given when it was approved, and never to another.
    pub number: Option<HospitalId>,
    /// Its key for signing.
    pub signing_key: PublicKey,
    /// Of its TLS key.
    pub tls_fingerprint: Digest,
    /// What it has sent for a certificate, in DER.
    pub request: Vec<u8>,
    /// PEM, once it was approved.
    pub certificate: Option<String>,
    /// When it asked.
    pub requested: SystemTime,
    /// When it was removed.
    pub removed: Option<SystemTime>,
}

/// What a hospital sends when it asks to join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applicant {
    /// Its key for signing.
    pub signing_key: PublicKey,
    /// Of its TLS key.
    pub tls_fingerprint: Digest,
    /// For a certificate, in DER.
    pub request: Vec<u8>,
}

impl Member {
    /// The words that the hospital reads out.
    pub fn fingerprint(&self) -> String {
        spoken(
            &keys_hash(&self.signing_key, &self.tls_fingerprint),
            Length::Short,
        )
    }

    /// Its lines on a roster, once it is approved.
    pub fn entry(&self) -> Option<MemberEntry> {
        Some(MemberEntry {
            id: self.number?.get(),
            name: self.name.clone(),
            signing_key: self.signing_key.0,
            tls_fingerprint: self.tls_fingerprint,
        })
    }
}

impl Members {
    /// Opens the database at `path`, or makes it.
    ///
    /// # Errors
    /// [`MembersError`].
    pub fn open(path: &Path) -> Result<Self, MembersError> {
        let failed = |source| MembersError::Database {
            path: path.to_owned(),
            source,
        };
        open_private_file(path).map_err(|source| MembersError::File {
            path: path.to_owned(),
            source,
        })?;
        let connection = Connection::open(path).map_err(failed)?;
        connection.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
        if version(&connection).map_err(failed)? == 0 {
            connection.execute_batch(SCHEMA).map_err(failed)?;
        }
        Self::of_this_release(connection, path)
    }

    /// Opens the database that is at `path`, for reading alone.
    ///
    /// # Errors
    /// [`MembersError`].
    pub fn look(path: &Path) -> Result<Self, MembersError> {
        let failed = |source| MembersError::Database {
            path: path.to_owned(),
            source,
        };
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY);
        let connection = connection.map_err(failed)?;
        connection.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
        Self::of_this_release(connection, path)
    }

    fn of_this_release(connection: Connection, path: &Path) -> Result<Self, MembersError> {
        let path = path.to_owned();
        match version(&connection) {
            Ok(SCHEMA_VERSION) => Ok(Self { connection, path }),
            Ok(found) => Err(MembersError::Version { path, found }),
            Err(source) => Err(MembersError::Database { path, source }),
        }
    }

    /// Notes an invitation under `name`, in the place of one that has not led to an approval.
    ///
    /// # Errors
    /// [`MembersError::IsMember`].
    pub fn invite(
        &mut self,
        name: &str,
        code_hash: &Digest,
        expires: SystemTime,
    ) -> Result<(), MembersError> {
        self.at_once(|list| {
            let known = list.named(name)?;
            if known.is_some_and(|member| member.number.is_some()) {
                return Err(MembersError::IsMember { name: name.into() });
            }
            list.execute(
                "DELETE FROM members WHERE name = ?1 AND number IS NULL",
                [name],
            )?;
            list.execute(
                "INSERT OR REPLACE INTO invitations (name, code_hash, expires_unix) VALUES (?1, ?2, ?3)",
                params![name, code_hash, unix(expires)],
            )?;
            Ok(())
        })
    }

    /// The names that are invited and have not asked yet, with the last moment at which they can.
    ///
    /// # Errors
    /// [`MembersError`].
    pub fn invitations(&self) -> Result<Vec<(String, SystemTime)>, MembersError> {
        let read = || {
            let mut statement = self.connection.prepare(
                "SELECT name, expires_unix FROM invitations
                 WHERE NOT EXISTS (SELECT 1 FROM members
                                   WHERE members.name = invitations.name AND removed_unix IS NULL)
                 ORDER BY name",
            )?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, time(row.get(1)?))))?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        read().map_err(|source| self.failed(source))
    }

    /// Notes what an invited hospital has sent, if the code is that of an invitation that holds at `now` and that no other keys were
    /// sent for; the same once more changes nothing, also when it was approved meanwhile.
    ///
    /// # Errors
    /// [`MembersError::NotInvited`], [`MembersError::Used`], [`MembersError::KnownKey`].
    pub fn apply(
        &mut self,
        code_hash: &Digest,
        applicant: &Applicant,
        now: SystemTime,
    ) -> Result<Member, MembersError> {
        self.at_once(|list| {
            // Whoever asks has shown to have both keys.
            let known = list.one(
                "WHERE signing_key = ?1 OR tls_fingerprint = ?2",
                params![applicant.signing_key.0, applicant.tls_fingerprint],
            )?;
            if let Some(known) = known {
                let is_same = known.removed.is_none()
                    && known.signing_key == applicant.signing_key
                    && known.tls_fingerprint == applicant.tls_fingerprint;
                return match is_same {
                    true => Ok(known),
                    false => Err(MembersError::KnownKey),
                };
            }
            let (name, expires) = list
                .invitation(code_hash)?
                .ok_or(MembersError::NotInvited)?;
            if list.named(&name)?.is_some() {
                return Err(MembersError::Used { name });
            }
            if unix(now) > expires {
                return Err(MembersError::NotInvited);
            }
            list.execute(
                "INSERT INTO members (name, signing_key, tls_fingerprint, request, requested_unix)
                 VALUES (?1, ?2, ?3, ?4, ?5)",
                params![
                    name,
                    applicant.signing_key.0,
                    applicant.tls_fingerprint,
                    applicant.request,
                    unix(now)
                ],
            )?;
            list.named(&name)?.ok_or(MembersError::NotInvited)
        })
    }

    fn invitation(&self, code_hash: &Digest) -> Result<Option<(String, i64)>, MembersError> {
        let found = self.connection.query_row(
            "SELECT name, expires_unix FROM invitations WHERE code_hash = ?1",
            [code_hash],
            |row| Ok((row.get(0)?, row.get(1)?)),
        );
        found.optional().map_err(|source| self.failed(source))
    }

    /// Makes the one that has asked under `name` a member, with the next number. `certify` looks at it and gives its certificate.
    ///
    /// # Errors
    /// [`MembersError::NoRequest`], [`MembersError::IsMember`], [`MembersError::Full`], or that of `certify`.
    pub fn approve<E: From<MembersError>>(
        &mut self,
        name: &str,
        now: SystemTime,
        certify: impl FnOnce(&Member) -> Result<String, E>,
    ) -> Result<Member, E> {
        self.at_once(|list| {
            let member = list
                .named(name)?
                .ok_or_else(|| MembersError::NoRequest { name: name.into() })?;
            if member.number.is_some() {
                return Err(MembersError::IsMember { name: name.into() }.into());
            }
            let certificate = certify(&member)?;
            let number = list.next_number()?;
            list.execute(
                "UPDATE members SET number = ?2, certificate = ?3, approved_unix = ?4
                 WHERE signing_key = ?1 AND number IS NULL",
                params![member.signing_key.0, number.get(), certificate, unix(now)],
            )?;
            list.execute("DELETE FROM invitations WHERE name = ?1", [name])?;
            Ok(Member {
                number: Some(number),
                certificate: Some(certificate),
                ..member
            })
        })
    }

    /// Those that were removed have had one, too.
    fn next_number(&self) -> Result<HospitalId, MembersError> {
        let last: Option<u8> = self
            .connection
            .query_row("SELECT max(number) FROM members", [], |row| row.get(0))
            .map_err(|source| self.failed(source))?;
        let next = last.map_or(Some(1), |last| last.checked_add(1));
        next.and_then(HospitalId::new).ok_or(MembersError::Full)
    }

    /// Takes a member, an applicant or an invitation off the list. A member stays on the rosters that are signed.
    ///
    /// # Errors
    /// [`MembersError::NoRequest`] if there is none of this name.
    pub fn remove(&mut self, name: &str, now: SystemTime) -> Result<(), MembersError> {
        let removed = self.at_once(|list| {
            let invitations = list.execute("DELETE FROM invitations WHERE name = ?1", [name])?;
            let applicants = list.execute(
                "DELETE FROM members WHERE name = ?1 AND number IS NULL",
                [name],
            )?;
            let members = list.execute(
                "UPDATE members SET removed_unix = ?2 WHERE name = ?1 AND removed_unix IS NULL",
                params![name, unix(now)],
            )?;
            Ok::<_, MembersError>(invitations + applicants + members)
        })?;
        match removed {
            0 => Err(MembersError::NoRequest { name: name.into() }),
            _ => Ok(()),
        }
    }

    /// Another certificate for a member's key.
    ///
    /// # Errors
    /// [`MembersError`].
    pub fn renew(&mut self, number: HospitalId, certificate: &str) -> Result<(), MembersError> {
        self.execute(
            "UPDATE members SET certificate = ?2 WHERE number = ?1",
            params![number.get(), certificate],
        )?;
        Ok(())
    }

    /// All that have asked and were not removed, members first, by number.
    ///
    /// # Errors
    /// [`MembersError`].
    pub fn all(&self) -> Result<Vec<Member>, MembersError> {
        self.some(
            "WHERE removed_unix IS NULL ORDER BY number IS NULL, number, name",
            [],
        )
    }

    /// Whose signing key this is, also of one that was removed.
    ///
    /// # Errors
    /// [`MembersError`].
    pub fn by_key(&self, key: &PublicKey) -> Result<Option<Member>, MembersError> {
        self.one("WHERE signing_key = ?1", [key.0])
    }

    /// The one of this name that was not removed.
    ///
    /// # Errors
    /// [`MembersError`].
    pub fn named(&self, name: &str) -> Result<Option<Member>, MembersError> {
        self.one("WHERE name = ?1 AND removed_unix IS NULL", [name])
    }

    /// The last roster of the list, and whether it is published.
    ///
    /// # Errors
    /// [`MembersError`], also when it does not parse.
    pub fn last_roster(&self) -> Result<Option<(RosterFile, bool)>, MembersError> {
        self.roster("ORDER BY epoch DESC LIMIT 1")
    }

    /// The last roster that is published.
    ///
    /// # Errors
    /// [`MembersError`], also when it does not parse.
    pub fn published_roster(&self) -> Result<Option<RosterFile>, MembersError> {
        let found = self.roster("WHERE published_unix IS NOT NULL ORDER BY epoch DESC LIMIT 1")?;
        Ok(found.map(|(file, _)| file))
    }

    /// Puts a draft in the place of one that is not published.
    ///
    /// # Errors
    /// [`MembersError`].
    pub fn put_draft(&mut self, file: &RosterFile) -> Result<(), MembersError> {
        self.at_once(|list| {
            list.execute("DELETE FROM rosters WHERE published_unix IS NULL", [])?;
            list.execute(
                "INSERT INTO rosters (epoch, file) VALUES (?1, ?2)",
                params![file.epoch, file.to_json()],
            )?;
            Ok(())
        })
    }

    /// Lays `change` over the draft, all at once: another program may sign meanwhile.
    ///
    /// # Errors
    /// [`MembersError`], or that of `change`.
    pub fn change_draft<E: From<MembersError>>(
        &mut self,
        change: impl FnOnce(&mut RosterFile) -> Result<(), E>,
    ) -> Result<Option<RosterFile>, E> {
        self.at_once(|list| {
            let Some((mut file, false)) = list.last_roster()? else {
                return Ok(None);
            };
            change(&mut file)?;
            list.execute(
                "UPDATE rosters SET file = ?2 WHERE epoch = ?1 AND published_unix IS NULL",
                params![file.epoch, file.to_json()],
            )?;
            Ok(Some(file))
        })
    }

    /// This draft is the roster from now on.
    ///
    /// # Errors
    /// [`MembersError::DraftChanged`] if it is another one by now.
    pub fn publish(&mut self, draft: &RosterFile, now: SystemTime) -> Result<(), MembersError> {
        let published = self.execute(
            "UPDATE rosters SET published_unix = ?3
             WHERE epoch = ?1 AND file = ?2 AND published_unix IS NULL",
            params![draft.epoch, draft.to_json(), unix(now)],
        )?;
        match published {
            0 => Err(MembersError::DraftChanged),
            _ => Ok(()),
        }
    }

    fn roster(&self, which: &str) -> Result<Option<(RosterFile, bool)>, MembersError> {
        let found: Option<(String, bool)> = self
            .connection
            .query_row(
                &format!("SELECT file, published_unix IS NOT NULL FROM rosters {which}"),
                [],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .optional()
            .map_err(|source| self.failed(source))?;
        let read = |(text, is_published): (String, bool)| {
            let file = RosterFile::from_json(&text).map_err(|_| MembersError::Roster {
                path: self.path.clone(),
            })?;
            Ok((file, is_published))
        };
        found.map(read).transpose()
    }

    fn one(
        &self,
        which: &str,
        values: impl rusqlite::Params,
    ) -> Result<Option<Member>, MembersError> {
        let found = self.some(which, values)?;
        Ok(found.into_iter().next())
    }

    fn some(
        &self,
        which: &str,
        values: impl rusqlite::Params,
    ) -> Result<Vec<Member>, MembersError> {
        let read = || {
            let mut statement = self.connection.prepare(&format!(
                "SELECT name, number, signing_key, tls_fingerprint, request, certificate, requested_unix, removed_unix
                 FROM members {which}"
            ))?;
            let rows = statement.query_map(values, member)?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        read().map_err(|source| self.failed(source))
    }

    /// Gives the number of rows.
    fn execute(&self, sql: &str, values: impl rusqlite::Params) -> Result<usize, MembersError> {
        let done = self.connection.execute(sql, values);
        done.map_err(|source| self.failed(source))
    }

    /// All of `work`, or nothing, with no other program in between.
    fn at_once<T, E: From<MembersError>>(
        &mut self,
        work: impl FnOnce(&Self) -> Result<T, E>,
    ) -> Result<T, E> {
        self.execute("BEGIN IMMEDIATE", [])?;
        let done = work(self).and_then(|done| {
            self.execute("COMMIT", [])?;
            Ok(done)
        });
        if done.is_err() {
            // What has failed is told; a transaction that cannot be rolled back ends with the connection.
            let _ = self.execute("ROLLBACK", []);
        }
        done
    }

    fn failed(&self, source: rusqlite::Error) -> MembersError {
        MembersError::Database {
            path: self.path.clone(),
            source,
        }
    }
}

fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

fn member(row: &Row<'_>) -> rusqlite::Result<Member> {
    let number: Option<u8> = row.get(1)?;
    let removed: Option<i64> = row.get(7)?;
    Ok(Member {
        name: row.get(0)?,
        number: number.and_then(HospitalId::new),
        signing_key: PublicKey(row.get(2)?),
        tls_fingerprint: row.get(3)?,
        request: row.get(4)?,
        certificate: row.get(5)?,
        requested: time(row.get(6)?),
        removed: removed.map(time),
    })
}

fn unix(time: SystemTime) -> i64 {
    let seconds = time
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    i64::try_from(seconds).unwrap_or(i64::MAX)
}

fn time(seconds: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds.try_into().unwrap_or(0))
}

/// Why the list of members cannot be used, or does not take a change.
#[derive(Debug, thiserror::Error)]
pub enum MembersError {
    /// The file cannot be opened or made.
    #[error("cannot open {}", path.display())]
    File {
        /// The path.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// SQLite reports an error.
    #[error("cannot read or write {}", path.display())]
    Database {
        /// The path.
        path: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// Made by another release.
    #[error("{} is of version {found}, this release reads {SCHEMA_VERSION}: use the release that made it, or a newer one", path.display())]
    Version {
        /// The path.
        path: PathBuf,
        /// `user_version`.
        found: i64,
    },
    /// A roster in it is none.
    #[error("a roster in {} is damaged; draft it again with `coordinator roster draft`", path.display())]
    Roster {
        /// The path.
        path: PathBuf,
    },
    /// The code is of no invitation that holds.
    #[error(
        "no invitation has this code: it was replaced or taken back, or is no longer valid; ask the coordinator's operator for another one"
    )]
    NotInvited,
    /// Other keys were sent with this code.
    #[error(
        "this invitation was used before, with other keys: if not by you, tell the coordinator's operator; ask for another one"
    )]
    Used {
        /// Whose it is.
        name: String,
    },
    /// A key belongs to one hospital.
    #[error("one of these keys is another member's, or was: make new ones in an empty folder")]
    KnownKey,
    /// Nobody of this name has asked.
    #[error(
        "nobody has asked to join under the name {name:?}; `coordinator requests` shows who has"
    )]
    NoRequest {
        /// The name.
        name: String,
    },
    /// Approved already.
    #[error("{name:?} is a member already; `coordinator remove` takes it off the list")]
    IsMember {
        /// The name.
        name: String,
    },
    /// Somebody has drafted or signed in between.
    #[error("the draft was changed meanwhile; look at it again: `coordinator roster show`")]
    DraftChanged,
    /// Every number was given.
    #[error(
        "all {MAX_HOSPITALS} numbers were given: a number stays its hospital's, also when that has left"
    )]
    Full,
}

const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
const SCHEMA_VERSION: i64 = 1;
const SCHEMA: &str = "
BEGIN;
CREATE TABLE invitations (
    name TEXT PRIMARY KEY,
    code_hash BLOB NOT NULL UNIQUE,
    expires_unix INTEGER NOT NULL
) STRICT;
CREATE TABLE members (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    number INTEGER UNIQUE,             -- on the roster; never given twice
    signing_key BLOB NOT NULL UNIQUE,
    tls_fingerprint BLOB NOT NULL UNIQUE,
    request BLOB NOT NULL,             -- PKCS #10, DER
    certificate TEXT,                  -- PEM
    requested_unix INTEGER NOT NULL,
    approved_unix INTEGER,
    removed_unix INTEGER
) STRICT;
CREATE UNIQUE INDEX name_of_a_member ON members (name) WHERE removed_unix IS NULL;
CREATE TABLE rosters (
    epoch INTEGER PRIMARY KEY,
    file TEXT NOT NULL,                -- roster.json, with the signatures so far
    published_unix INTEGER
) STRICT;
PRAGMA user_version = 1;
COMMIT;
";
