//! A headless Chromium that loads pages, is typed into, and tells what it did not like. Spoken to over a pipe, in the DevTools protocol.

use std::{
    env, fs,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::{Duration, Instant},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use tempfile::TempDir;

/// One tab of a browser of its own.
pub struct Browser {
    child: Child,
    orders: ChildStdin,
    messages: Receiver<Value>,
    session: Option<String>,
    last_id: u64,
    troubles: Vec<String>,
    requests: Vec<String>,
    _profile: TempDir,
}

impl Browser {
    /// Starts one. None where there is no Chromium, and `MYELIN_REQUIRE_BROWSER` does not ask for one.
    ///
    /// # Panics
    /// If one is asked for and cannot be started.
    pub fn start() -> Option<Self> {
        let Some(program) = found() else {
            assert!(
                env::var_os("MYELIN_REQUIRE_BROWSER").is_none(),
                "there is no chromium on this machine: apt-get install chromium"
            );
            return None;
        };
        let profile = tempfile::tempdir().expect("a folder");
        // Chromium reads orders from its descriptor 3 and answers on 4.
        let script = "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1";
        let mut command = Command::new("sh");
        command.args(["-c", script, program]).args([
            "--headless=new",
            "--remote-debugging-pipe",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
        ]);
        command.arg(format!("--user-data-dir={}", profile.path().display()));
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the browser starts");
        let orders = child.stdin.take().expect("piped");
        let answers = BufReader::new(child.stdout.take().expect("piped"));
        let (sender, messages) = mpsc::channel();
        thread::spawn(move || {
            for message in answers.split(0).map_while(Result::ok) {
                if let Ok(message) = serde_json::from_slice(&message) {
                    let _ = sender.send(message);
                }
            }
        });
        let mut browser = Self {
            child,
            orders,
            messages,
            session: None,
            last_id: 0,
            troubles: Vec::new(),
            requests: Vec::new(),
            _profile: profile,
        };
        let target = browser.order("Target.createTarget", json!({"url": "about:blank"}));
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let attached = browser.order("Target.attachToTarget", attach);
        browser.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.order(&format!("{domain}.enable"), json!({}));
        }
        Some(browser)
    }

    /// Loads a page.
    pub fn open(&mut self, url: &str) {
        self.order("Page.navigate", json!({"url": url}));
        self.wait_until("document.readyState === 'complete'");
    }

    /// As on a screen of this size, in the dark or not.
    pub fn see(&mut self, width: u32, height: u32, dark: bool) {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600});
        self.order("Emulation.setDeviceMetricsOverride", size);
        let value = if dark { "dark" } else { "light" };
        let scheme =
            json!({"media": "", "features": [{"name": "prefers-color-scheme", "value": value}]});
        self.order("Emulation.setEmulatedMedia", scheme);
    }

    /// As on paper.
    pub fn see_print(&mut self) {
        self.order("Emulation.setEmulatedMedia", json!({"media": "print"}));
    }

    /// The value of an expression on the page.
    ///
    /// # Panics
    /// If it throws.
    pub fn value(&mut self, expression: &str) -> Value {
        let evaluate =
            json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let result = self.order("Runtime.evaluate", evaluate);
        assert!(
            result["exceptionDetails"].is_null(),
            "{expression}: {result}"
        );
        result["result"]["value"].clone()
    }

    /// Waits until an expression on the page is true.
    ///
    /// # Panics
    /// When it is not in time; shows the text of the page.
    pub fn wait_until(&mut self, expression: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.value(&format!("Boolean({expression})")) != Value::Bool(true) {
            if Instant::now() > deadline {
                let text = self.value("document.body.innerText");
                panic!("{expression} did not become true; the page says {text}");
            }
            thread::sleep(Duration::from_millis(200));
        }
    }

    /// Puts the focus on an element and types a text and then a key, such as Enter.
    pub fn type_into(&mut self, selector: &str, text: &str, key: &str) {
        self.value(&format!("document.querySelector({selector:?}).focus()"));
        self.order("Input.insertText", json!({"text": text}));
        self.press(key);
    }

    /// Presses a key on what has the focus.
    pub fn press(&mut self, key: &str) {
        let code = match key {
            "Enter" => 13,
            "Tab" => 9,
            "Escape" => 27,
            _ => 0,
        };
        let text = if key == "Enter" { "\r" } else { "" };
        for kind in ["keyDown", "keyUp"] {
            let event = json!({
                "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code, "text": text,
            });
            self.order("Input.dispatchKeyEvent", event);
        }
    }

    /// Chooses a file for an input.
    pub fn choose_file(&mut self, selector: &str, file: &Path) {
        let expression = json!({"expression": format!("document.querySelector({selector:?})")});
        let element = self.order("Runtime.evaluate", expression);
        let object = &element["result"]["objectId"];
        let files = json!({"files": [file], "objectId": object});
        self.order("DOM.setFileInputFiles", files);
    }

    /// Keeps what is to be seen as a picture.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn keep_picture(&mut self, path: &Path) {
        let whole = json!({"captureBeyondViewport": true});
        let picture = self.order("Page.captureScreenshot", whole);
        let bytes = picture["data"].as_str().expect("a picture");
        let bytes = BASE64_STANDARD.decode(bytes).expect("base64");
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, bytes).expect("written");
    }

    /// What the console says of errors and warnings, so far.
    pub fn troubles(&self) -> &[String] {
        &self.troubles
    }

    /// The addresses that the page has asked for, so far.
    pub fn requests(&self) -> &[String] {
        &self.requests
    }

    fn order(&mut self, method: &str, parameters: Value) -> Value {
        self.last_id += 1;
        let id = self.last_id;
        let mut order = json!({"id": id, "method": method, "params": parameters});
        if let Some(session) = &self.session {
            order["sessionId"] = session.as_str().into();
        }
        let mut bytes = order.to_string().into_bytes();
        bytes.push(0);
        self.orders.write_all(&bytes).expect("the browser listens");
        loop {
            let message = self
                .messages
                .recv_timeout(PATIENCE)
                .unwrap_or_else(|_| panic!("the browser does not answer to {method}"));
            if message["id"] == id {
                assert!(message["error"].is_null(), "{method}: {}", message["error"]);
                return message["result"].clone();
            }
            self.note(&message);
        }
    }

    fn note(&mut self, event: &Value) {
        let told = &event["params"];
        match event["method"].as_str() {
            Some("Runtime.exceptionThrown") => {
                self.troubles.push(told["exceptionDetails"].to_string());
            }
            Some("Runtime.consoleAPICalled") if told["type"] != "log" => {
                self.troubles.push(told["args"].to_string());
            }
            Some("Log.entryAdded") if told["entry"]["level"] != "info" => {
                self.troubles.push(told["entry"].to_string());
            }
            Some("Network.requestWillBeSent") => {
                let url = told["request"]["url"].as_str();
                self.requests.push(url.unwrap_or_default().to_owned());
            }
            _ => {}
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn found() -> Option<&'static str> {
    let names = ["chromium", "chromium-browser", "google-chrome"];
    names.into_iter().find(|name| {
        let asked = Command::new(name).arg("--version").output();
        asked.is_ok_and(|output| output.status.success())
    })
}

const PATIENCE: Duration = Duration::from_secs(240);
