//! `log`: lines of any site's `wsyncmgr.log`, read where the site is, or the status messages of all as one log.

mod all;

use crate::connection::{ConnectionArgs, explain};
use crate::console::Console;
use owo_colors::OwoColorize;
use serde::Serialize;
use std::borrow::Cow;
use std::process::ExitCode;
use tokio_stream::StreamExt;
use wire::text::harmless;
use wire::v1::ReadLogRequest;

/// Most lines that can be asked for at once.
const MOST_LINES: i64 = 10_000;

/// Showing log lines.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  headwater log --site SE1 --follow
  headwater log --all --severity warning --since 24h
  headwater log --all --text certificate --follow")]
pub struct Command {
    /// The status messages of every site as one log, instead of the lines of one site's log
    #[arg(long, short)]
    all: bool,
    /// Least severe messages that are shown, with --all
    #[arg(long, value_name = "SEVERITY", requires = "all")]
    severity: Option<all::Least>,
    /// Only what happened since: 90m, 24h, 7d, or a date and time such as 2026-11-21T18:00; with --all
    #[arg(long, value_name = "TIME", requires = "all")]
    since: Option<String>,
    /// Only messages whose text or number has this in it, with --all
    #[arg(long, value_name = "TEXT", requires = "all")]
    text: Option<String>,
    /// Site whose log is read; the top-level site's without this. With --all, the site that messages are about
    #[arg(long, short, value_name = "CODE")]
    site: Option<String>,
    /// How many of the newest lines to show
    #[arg(long, short = 'n', value_name = "N", default_value_t = 40,
          value_parser = clap::value_parser!(u32).range(0..=MOST_LINES))]
    last: u32,
    /// Go on showing lines as they are written, until Ctrl-C
    #[arg(long, short)]
    follow: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// How CMTrace would colour a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Plain.
    Information,
    /// Yellow.
    Warning,
    /// Red.
    Error,
}

/// The severity of a line: by its status message where it carries one, by the words that CMTrace looks
/// for otherwise.
pub fn severity(line: &str) -> Severity {
    if let Some((_, rest)) = line.split_once("STATMSG:") {
        return match rest
            .split_once("SEV=")
            .and_then(|(_, sev)| sev.chars().next())
        {
            Some('E') => Severity::Error,
            Some('W') => Severity::Warning,
            _ => Severity::Information,
        };
    }
    let text = line.split("$$<").next().unwrap_or(line).to_lowercase();
    let failed = text.replace("failover", "").contains("fail");
    if failed || text.contains("error") {
        Severity::Error
    } else if text.contains("warn") {
        Severity::Warning
    } else {
        Severity::Information
    }
}

/// A line as it is shown: verbatim in a file; on a terminal without what could steer it.
fn shown<'a>(line: &'a str, console: &Console) -> Cow<'a, str> {
    let line = line.trim_end_matches(['\r', '\n']);
    if !console.terminal {
        return Cow::Borrowed(line);
    }
    let line = harmless(line);
    match severity(&line) {
        Severity::Error if console.colour => Cow::Owned(line.red().to_string()),
        Severity::Warning if console.colour => Cow::Owned(line.yellow().to_string()),
        Severity::Error | Severity::Warning | Severity::Information => line,
    }
}

#[derive(Serialize)]
struct Line<'a> {
    site_code: &'a str,
    line: &'a str,
}

/// Shows the lines.
///
/// # Errors
/// When the site that is asked refuses or does not answer, or the site whose log is wanted is away.
pub async fn execute(command: Command) -> anyhow::Result<ExitCode> {
    let console = Console::of_process(command.connection.json);
    let client = command.connection.connect().await?;
    if command.all {
        all::execute(&command, &client, &console).await?;
        return Ok(ExitCode::SUCCESS);
    }
    let site_code = command.site.unwrap_or_default().to_ascii_uppercase();
    let doing = match site_code.as_str() {
        "" => "reading the log".to_owned(),
        code => format!("reading the log of {}", harmless(code)),
    };
    let request = ReadLogRequest {
        site_code: site_code.clone(),
        last: command.last,
        follow: command.follow,
        merged: false,
    };
    // No deadline: with --follow the stream lasts as long as somebody reads.
    let answer = client.journal().read_log(request).await;
    let mut stream = answer
        .map_err(|status| explain(status, &client.server, &doing))?
        .into_inner();
    while let Some(lines) = stream.next().await {
        let lines = lines.map_err(|status| explain(status, &client.server, &doing))?;
        for line in &lines.lines {
            if console.json {
                let line = line.trim_end_matches(['\r', '\n']);
                let site_code = &site_code;
                console.json_line(&Line { site_code, line })?;
            } else {
                console.line(shown(line, &console))?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "  $$<SMS_WSUS_SYNC_MANAGER><10-04-2026 16:33:26.654+000><thread=7 (0x7)>";

    #[test]
    fn a_line_has_the_colour_that_cmtrace_gives_it() {
        let check = |text: &str, expected| {
            assert_eq!(severity(&format!("{text}{LINE}")), expected, "{text}");
        };
        check("Sync failed: no route. Source: Client", Severity::Error);
        check(
            "Setting sync alert to canceled state on site CAS",
            Severity::Information,
        );
        check("STATMSG: ID=6703 SEV=E LEV=M", Severity::Error);
        check(
            "STATMSG: ID=6702 SEV=I LEV=M ISTR0=\"error\"",
            Severity::Information,
        );
        check("STATMSG: ID=6708 SEV=W LEV=M", Severity::Warning);
        check(
            "Synchronizing update 7 - Critical Updates failover",
            Severity::Information,
        );
        check("Warning: the clock differs", Severity::Warning);
    }

    #[test]
    fn lines_are_verbatim_in_a_file_and_harmless_on_a_terminal() {
        let mut console = Console {
            json: false,
            terminal: false,
            colour: false,
        };
        assert_eq!(shown("a\x1b[2Jb\r\n", &console), "a\x1b[2Jb");
        console.terminal = true;
        assert_eq!(shown("a\x1b[2Jb\r\n", &console), "a [2Jb");
        console.colour = true;
        assert_eq!(shown("an error", &console), "\x1b[31man error\x1b[39m");
    }
}
