//! Who is let in: whoever can read the token in the state folder, and a browser that has shown it once.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::http::{HeaderMap, header};
use getrandom::{SysRng, rand_core::TryRng as _};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::WebError;
use crate::private_folder::{create_private_file, make_private_folder};

/// Lets in who knows the token.
pub struct Door {
    token: Zeroizing<String>,
    token_file: PathBuf,
    /// Browsers that have shown it, by the value of their cookie, and when they are let in no more.
    sessions: Mutex<BTreeMap<String, Instant>>,
    /// A cookie is sent to every port of a host: each process has its own.
    cookie: String,
}

impl Door {
    /// With the token of this state folder; it is made if there is none.
    ///
    /// # Errors
    /// [`WebError::Token`].
    pub fn open(state: &Path) -> Result<Self, WebError> {
        let token_file = state.join(TOKEN_FILE);
        let unusable = |source| WebError::Token {
            path: token_file.clone(),
            source,
        };
        make_private_folder(state).map_err(unusable)?;
        Ok(Self {
            token: read_or_make(&token_file).map_err(unusable)?,
            cookie: format!("myelin_{}", &random().map_err(unusable)?[..8]),
            token_file,
            sessions: Mutex::default(),
        })
    }

    /// Where people find the token.
    pub fn token_file(&self) -> &Path {
        &self.token_file
    }

    /// Whether a request may see and do everything.
    pub fn lets_in(&self, headers: &HeaderMap) -> bool {
        let bearer = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        bearer.is_some_and(|token| self.is_token(token)) || self.has_session(headers)
    }

    /// The `Set-Cookie` for a browser that shows the token; none for a wrong one.
    pub fn log_in(&self, token: &str) -> Option<String> {
        if !self.is_token(token.trim()) {
            return None;
        }
        let session = random().ok()?;
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        sessions.retain(|_, end| now < *end);
        if sessions.len() >= MAX_SESSIONS {
            let first = sessions.iter().min_by_key(|(_, end)| **end);
            let first = first.map(|(session, _)| session.clone());
            first.and_then(|session| sessions.remove(&session));
        }
        sessions.insert(session.to_string(), now + SESSION);
        Some(format!(
            "{}={}; Path=/; HttpOnly; SameSite=Strict; Max-Age={}",
            self.cookie,
            session.as_str(),
            SESSION.as_secs()
        ))
    }

    /// The browser of this request has to show the token again.
    pub fn log_out(&self, headers: &HeaderMap) {
        if let Some(session) = self.cookie_of(headers) {
            let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
            sessions.remove(session);
        }
    }

    fn is_token(&self, shown: &str) -> bool {
        shown.as_bytes().ct_eq(self.token.as_bytes()).into()
    }

    fn has_session(&self, headers: &HeaderMap) -> bool {
        let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let end = self
            .cookie_of(headers)
            .and_then(|session| sessions.get(session));
        end.is_some_and(|end| Instant::now() < *end)
    }

    fn cookie_of<'a>(&self, headers: &'a HeaderMap) -> Option<&'a str> {
        let cookies = headers.get_all(header::COOKIE).into_iter();
        let cookies = cookies.filter_map(|value| value.to_str().ok());
        let mut pairs = cookies
            .flat_map(|line| line.split(';'))
            .filter_map(|pair| pair.trim().split_once('='));
        let (_, value) = pairs.find(|(name, _)| *name == self.cookie)?;
        Some(value)
    }
}

/// The token that is there, if it is one of ours; else another.
fn read_or_make(path: &Path) -> io::Result<Zeroizing<String>> {
    let is_token =
        |text: &str| text.len() == 2 * TOKEN_BYTES && text.bytes().all(|b| b.is_ascii_hexdigit());
    match fs::metadata(path) {
        Ok(about) if about.len() <= MAX_TOKEN_FILE => {
            let text = Zeroizing::new(fs::read_to_string(path)?);
            if is_token(text.trim()) {
                return Ok(Zeroizing::new(text.trim().to_owned()));
            }
        }
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let token = random()?;
    let mut file = create_private_file(path)?;
    file.write_all(token.as_bytes())?;
    file.write_all(b"\n")?;
    Ok(token)
}

fn random() -> io::Result<Zeroizing<String>> {
    let mut bytes = Zeroizing::new([0; TOKEN_BYTES]);
    SysRng
        .try_fill_bytes(bytes.as_mut())
        .map_err(io::Error::other)?;
    Ok(Zeroizing::new(hex::encode(bytes.as_ref())))
}

/// The token's file, in the state folder.
pub const TOKEN_FILE: &str = "web.token";
const TOKEN_BYTES: usize = 32;
const MAX_TOKEN_FILE: u64 = 1024;
const MAX_SESSIONS: usize = 64;
const SESSION: Duration = Duration::from_secs(12 * 3600);
