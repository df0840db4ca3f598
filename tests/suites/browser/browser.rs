//! A browser that a test drives, and what it noticed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fantoccini::wd::{Capabilities, WebDriverCompatibleCommand};
use fantoccini::{Client, ClientBuilder, Locator};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use testkit::until;

/// How long something may take to be on a page.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// What keeps a browser from asking its maker anything.
const QUIET: [&str; 9] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
];

/// Chromium and its driver, ended when this is dropped.
pub struct Browser {
    pub page: Client,
    /// Where the pages are, `https://host:port`.
    base: String,
    driver: Driver,
    axe: String,
}

struct Driver(Child);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Asks the driver for what was logged since the last time.
#[derive(Debug)]
struct Logged(&'static str);

impl WebDriverCompatibleCommand for Logged {
    fn endpoint(
        &self,
        base: &url::Url,
        session: Option<&str>,
    ) -> Result<url::Url, url::ParseError> {
        base.join(&format!("session/{}/se/log", session.unwrap_or_default()))
    }

    fn method_and_body(&self, _: &url::Url) -> (http::Method, Option<String>) {
        let body = json!({ "type": self.0 }).to_string();
        (http::Method::POST, Some(body))
    }
}

/// A command of the browser's own protocol, through the driver.
#[derive(Debug)]
struct Devtools(Value);

impl WebDriverCompatibleCommand for Devtools {
    fn endpoint(
        &self,
        base: &url::Url,
        session: Option<&str>,
    ) -> Result<url::Url, url::ParseError> {
        let session = session.unwrap_or_default();
        base.join(&format!("session/{session}/goog/cdp/execute"))
    }

    fn method_and_body(&self, _: &url::Url) -> (http::Method, Option<String>) {
        (http::Method::POST, Some(self.0.to_string()))
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the test runner tells where the workspace is, and whether this is CI"
)]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The workspace.
pub fn root() -> PathBuf {
    let manifest = variable("CARGO_MANIFEST_DIR");
    let tests = manifest.unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").to_owned());
    Path::new(&tests).parent().unwrap().to_owned()
}

/// Where screenshots are to go, if they are wanted.
pub fn screenshots() -> Option<PathBuf> {
    variable("HEADWATER_SCREENSHOTS").map(PathBuf::from)
}

impl Browser {
    /// Starts one, if there is one.
    ///
    /// # Panics
    /// In CI, when there is none.
    pub async fn start(base: &str, width: u32, height: u32, dark: bool) -> Option<Self> {
        let axe = root().join("target/browser/node_modules/axe-core/axe.min.js");
        let axe = std::fs::read_to_string(axe);
        let driver = Command::new("chromedriver")
            .args(["--port=0", "--log-level=WARNING"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let (axe, driver) = match (axe, driver) {
            (Ok(axe), Ok(driver)) => (axe, driver),
            (axe, driver) => {
                let why = format!(
                    "no browser: scripts/prepare installs it (axe-core {:?}, chromedriver {:?})",
                    axe.err(),
                    driver.err()
                );
                testkit::skip::not_installed(&why);
                return None;
            }
        };
        let mut driver = Driver(driver);
        let port = port_of(&mut driver.0);
        let mut arguments: Vec<String> = QUIET.map(str::to_owned).to_vec();
        arguments.push(format!("--window-size={width},{height}"));
        if dark {
            arguments.push("--force-dark-mode".into());
            arguments.push("--blink-settings=preferredColorScheme=0".into());
        } else {
            arguments.push("--blink-settings=preferredColorScheme=1".into());
        }
        let mut options = json!({ "args": arguments });
        if width < 600 {
            // A window cannot be made so narrow; a phone can.
            options["mobileEmulation"] =
                json!({ "deviceMetrics": { "width": width, "height": height, "pixelRatio": 1 } });
        }
        let capabilities = json!({
            "acceptInsecureCerts": true,
            "goog:chromeOptions": options,
            "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
        });
        let Value::Object(capabilities) = capabilities else {
            unreachable!("it is an object");
        };
        let capabilities: Capabilities = capabilities.into_iter().collect();
        let page = ClientBuilder::new(hyper_util::client::legacy::connect::HttpConnector::new())
            .capabilities(capabilities)
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .expect("a browser starts");
        Some(Self {
            page,
            base: base.to_owned(),
            driver,
            axe,
        })
    }

    /// Ends it.
    pub async fn stop(self) {
        self.page.close().await.unwrap();
        drop(self.driver);
    }

    /// Opens a page.
    pub async fn open(&self, path: &str) {
        self.page
            .goto(&format!("{}{path}", self.base))
            .await
            .unwrap();
    }

    /// Signs in with an access token.
    pub async fn sign_in(&self, token: &str) {
        self.open("/login").await;
        self.look("the page to sign in").await;
        self.fill("#token", token).await;
        self.press("#sign-in").await;
        self.shows("header", "Sign out").await;
    }

    /// Types into a field.
    pub async fn fill(&self, field: &str, text: &str) {
        let field = self.find(field).await;
        field.clear().await.unwrap();
        field.send_keys(text).await.unwrap();
    }

    /// Presses a button, or follows a link. What is just being exchanged is pressed when it is there again.
    pub async fn press(&self, what: &str) {
        until(&format!("{what} can be pressed"), PATIENCE, || async {
            let found = self.page.find(Locator::Css(what)).await;
            let found = found.map_err(|error| error.to_string())?;
            found.click().await.map_err(|error| error.to_string())
        })
        .await;
    }

    /// Chooses an entry of a list by its value.
    pub async fn choose(&self, list: &str, value: &str) {
        self.find(list).await.select_by_value(value).await.unwrap();
    }

    /// An element, when it is there.
    pub async fn find(&self, what: &str) -> fantoccini::elements::Element {
        until(&format!("{what} is on the page"), PATIENCE, || async {
            let found = self.page.find(Locator::Css(what)).await;
            found.map_err(|error| error.to_string())
        })
        .await
    }

    /// The text of an element; nothing where it is not there, or is just being exchanged.
    pub async fn text(&self, what: &str) -> String {
        match self.page.find(Locator::Css(what)).await {
            Ok(element) => element.text().await.unwrap_or_default(),
            Err(_) => String::new(),
        }
    }

    /// Waits until an element shows a text.
    pub async fn shows(&self, what: &str, text: &str) {
        until(&format!("{what} shows {text:?}"), PATIENCE, || async {
            let shown = self.text(what).await;
            if shown.contains(text) {
                Ok(())
            } else {
                Err(format!("it shows {shown:?}"))
            }
        })
        .await;
    }

    /// Runs a script in the page.
    pub async fn script(&self, script: &str) -> Value {
        self.page.execute(script, vec![]).await.unwrap()
    }

    async fn logged(&self, kind: &'static str) -> Vec<Value> {
        let logged = self.page.issue_cmd(Logged(kind)).await.unwrap();
        logged.as_array().cloned().unwrap_or_default()
    }

    /// A picture of the whole page that is open, up to a height, as PNG.
    pub async fn picture(&self, most_height: u64) -> Vec<u8> {
        let size =
            "const page = document.documentElement; return [page.clientWidth, page.scrollHeight]";
        let size = self.script(size).await;
        let height = size[1].as_u64().unwrap().min(most_height);
        let command = json!({
            "cmd": "Page.captureScreenshot",
            "params": {
                "captureBeyondViewport": true,
                "clip": { "x": 0, "y": 0, "width": size[0], "height": height, "scale": 1 },
            },
        });
        let answer = self.page.issue_cmd(Devtools(command)).await.unwrap();
        let picture = answer["data"].as_str().unwrap();
        STANDARD.decode(picture).unwrap()
    }

    /// Forgets what was logged so far.
    pub async fn forget(&self) {
        self.logged("browser").await;
    }

    /// Checks the page that is open for what no page may have.
    ///
    /// # Panics
    /// When the console has an error, something was asked of another host, or axe-core finds a barrier.
    pub async fn look(&self, page: &str) {
        let report = self
            .page
            .execute_async(
                &format!(
                    "const done = arguments[arguments.length - 1]; {}; axe.run().then(result => \
                     done(result.violations.map(v => `${{v.id}}: ${{v.help}}: ${{v.nodes.map(n => n.target).join(', ')}}`)), \
                     error => done([String(error)]));",
                    self.axe
                ),
                vec![],
            )
            .await
            .unwrap();
        assert_eq!(report, json!([]), "{page}: barriers");
        let console = self.logged("browser").await;
        let bad: Vec<&Value> = console
            .iter()
            .filter(|entry| entry["level"] == "SEVERE" || entry["level"] == "WARNING")
            .collect();
        assert!(bad.is_empty(), "{page}: {bad:#?}");
        for entry in self.logged("performance").await {
            let message = entry["message"].as_str().unwrap_or_default();
            let message: Value = serde_json::from_str(message).unwrap_or_default();
            if message["message"]["method"] != "Network.requestWillBeSent" {
                continue;
            }
            let asked = message["message"]["params"]["request"]["url"].as_str();
            let asked = asked.unwrap_or_default();
            let fine = asked.starts_with(&self.base) || asked.starts_with("data:");
            assert!(fine, "{page}: a request went to {asked}");
        }
    }
}

/// The port that a driver says it listens on.
fn port_of(driver: &mut Child) -> u16 {
    use std::io::{BufRead as _, BufReader};
    let output = driver.stdout.take().unwrap();
    let mut lines = BufReader::new(output).lines();
    let line = lines
        .by_ref()
        .map_while(Result::ok)
        .find(|line| line.contains("started successfully"))
        .expect("the driver starts");
    // It says more later, and must not be stopped by a full pipe.
    std::thread::spawn(move || lines.for_each(drop));
    let port = line.rsplit(' ').next().unwrap_or_default();
    port.trim_end_matches('.').parse().expect("a port")
}
