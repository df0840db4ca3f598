//! The dashboard in a real browser: headless Chromium, driven over WebDriver, against real processes.
//!
//! Every page that is opened is looked at three times: for errors of the console, for requests to other hosts, and
//! by axe-core for what keeps people out. Where Chromium is missing the tests say so and look at nothing; in CI that
//! is a failure.

#[cfg(test)]
mod browser;
#[cfg(test)]
mod forms;
#[cfg(test)]
mod pages;
#[cfg(test)]
mod screenshots;
