//! The page of a program, as a browser and others see it.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{Running, browser::Browser};

/// A page that a program serves.
pub struct Site {
    /// Where it listens.
    address: String,
    /// What lets a browser in.
    pub token: String,
}

/// As its log tells it.
///
/// # Panics
/// If it serves none in time.
pub fn site(of: &Running) -> Site {
    of.wait_for("the web page is at", PATIENCE);
    let said = of.said();
    let line = said
        .lines()
        .find(|line| line.contains("the web page is at"));
    let (_, rest) = line.expect("a line").split_once("http://").expect("a URL");
    let (address, file) = rest
        .split_once("/; its token is in ")
        .expect("the file of the token");
    let token = fs::read_to_string(file.trim()).expect("a token");
    Site {
        address: address.to_owned(),
        token: token.trim().to_owned(),
    }
}

impl Site {
    /// For a browser.
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// What a program that is no browser is answered.
    ///
    /// # Panics
    /// If it does not listen.
    pub fn get(&self, path: &str, token: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).expect("it listens");
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).expect("written");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("text");
        answer
    }

    /// With a wrong token first.
    ///
    /// # Panics
    /// If the page does not let it in.
    pub fn log_in(&self, browser: &mut Browser) {
        browser.open(&self.url());
        browser.wait_until("document.querySelector('#login-form').checkVisibility()");
        browser.type_into("#token", "not the token", "Enter");
        browser.wait_until("document.querySelector('#login-error').textContent.length > 0");
        assert_eq!(
            browser.value("document.querySelector('#app').checkVisibility()"),
            false
        );
        browser.value("document.querySelector('#token').value = ''");
        browser.type_into("#token", &self.token, "Enter");
        browser.wait_until("document.querySelector('#app').checkVisibility()");
    }

    /// Nothing came from elsewhere, nothing went wrong, and nothing is wider than the screen; with pictures to look at.
    ///
    /// # Panics
    /// If it is not so.
    pub fn assert_sound(&self, browser: &mut Browser, name: &str) {
        for (width, height, dark) in [
            (360, 800, false),
            (360, 800, true),
            (1920, 1080, false),
            (1920, 1080, true),
        ] {
            browser.see(width, height, dark);
            let theme = if dark { "dark" } else { "light" };
            browser.keep_picture(&pictures().join(format!("{name}-{width}-{theme}.png")));
            let overflow = "document.documentElement.scrollWidth - innerWidth";
            let overflow = browser.value(overflow).as_i64();
            assert!(overflow <= Some(0), "{overflow:?} pixels at {width}");
        }
        assert_eq!(browser.troubles(), &[] as &[String]);
        let url = self.url();
        let elsewhere = |asked: &&String| !asked.starts_with(&url) && *asked != "data:,";
        let elsewhere: Vec<_> = browser.requests().iter().filter(elsewhere).collect();
        assert_eq!(elsewhere, Vec::<&String>::new());
        assert!(browser.requests().len() > 5);
    }
}

fn pictures() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/screenshots");
    fs::create_dir_all(&folder).expect("made");
    folder.canonicalize().expect("there")
}

/// A page, or a part of it, says these words.
///
/// # Panics
/// If it does not in time.
pub fn wait_for_words(browser: &mut Browser, selector: &str, words: &str) {
    browser.wait_until(&format!(
        "document.querySelector({selector:?})?.textContent.includes({words:?})"
    ));
}

/// Presses a button, as somebody without a mouse.
///
/// # Panics
/// If it does not come in time.
pub fn press(browser: &mut Browser, selector: &str) {
    browser.wait_until(&format!("document.querySelector({selector:?}) !== null"));
    browser.value(&format!("document.querySelector({selector:?}).focus()"));
    browser.press("Enter");
}

const PATIENCE: Duration = Duration::from_secs(240);
