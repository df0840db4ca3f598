//! `export`: the verified catalog of the top-level site as a package.

use super::log_file::LogFile;
use super::steps::Steps;
use super::{Named, named};
use crate::connection::{ConnectionArgs, explain};
use crate::console::Console;
use crate::render::text::count;
use anyhow::{Context as _, bail};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;
use wire::text::harmless;
use wire::v1::export_package_response::Message;
use wire::v1::{ExportPackageRequest, ExportReport, PackageFormat};

/// Exporting a package.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The name of the file chooses the format. A .cab is what wsusutil export writes: the documents of
the whole catalog, for a WSUS server or another Headwater; it holds 2 GB. A .hwpkg is Headwater's
own: signed by this hierarchy, without such a limit, and with what was removed.

Examples:
  headwater export catalog.hwpkg --approvals
  headwater export changes-2026-12.hwpkg --since last --approvals --content
  headwater export export.cab export.log")]
pub struct Command {
    /// The package, a new file: .hwpkg or .cab
    #[arg(value_parser = package)]
    file: PathBuf,
    /// A new file, for what was done when
    log_file: Option<PathBuf>,
    /// Only what changed after this position, or after the last package that was exported
    #[arg(long, value_name = "POSITION|last")]
    since: Option<Since>,
    /// With what was decided about updates
    #[arg(long)]
    approvals: bool,
    /// With the settings that concern every site; secrets are never in it
    #[arg(long)]
    settings: bool,
    /// With the update files that the site needs and has, licence terms among them; only in a .hwpkg
    #[arg(long)]
    content: bool,
    /// With the texts of licence terms, and without other files; only in a .hwpkg
    #[arg(long)]
    licence_terms: bool,
    /// Only say what would be in it, and how large it would be
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// A file whose name chooses a format.
fn package(name: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(name);
    match named(&path) {
        Named::Own | Named::Wsusutil => Ok(path),
        Named::Gzip => Err(
            "the form .xml.gz is not written: name a package that ends in .cab or .hwpkg"
                .to_owned(),
        ),
        Named::Other => Err("name a package that ends in .hwpkg or .cab".to_owned()),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Since {
    Position(u64),
    Last,
}

impl FromStr for Since {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "last" => Ok(Self::Last),
            number => number
                .parse()
                .map(Self::Position)
                .map_err(|_| "name a position, or last".to_owned()),
        }
    }
}

/// Does what was asked.
///
/// # Errors
/// When the file is there already or cannot be written, or the site refuses.
pub async fn execute(command: Command) -> anyhow::Result<ExitCode> {
    let console = Console::of_process(command.connection.json);
    let path = &command.file;
    if path.exists() {
        bail!(
            "{} exists already: a package has a name of its own, and none is written over",
            path.display()
        );
    }
    let log = command
        .log_file
        .as_deref()
        .map(LogFile::create)
        .transpose()?;
    let mut steps = Steps::new(console.json, log);
    steps.note(&format!("export to {}", path.display()));
    let result = export(&command, &mut steps).await;
    steps.end();
    match result {
        Ok(report) => {
            let told = Told {
                report: &report,
                path,
                dry_run: command.dry_run,
            };
            for line in told.lines() {
                steps.note(&line);
            }
            told.show(&console)?;
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            steps.note(&format!("{error:#}"));
            Err(error)
        }
    }
}

async fn export(command: &Command, steps: &mut Steps) -> anyhow::Result<ExportReport> {
    let client = command.connection.connect().await?;
    let path = &command.file;
    let format = match named(path) {
        Named::Wsusutil => PackageFormat::Wsusutil,
        Named::Own | Named::Gzip | Named::Other => PackageFormat::Headwater,
    };
    let request = ExportPackageRequest {
        format: format.into(),
        since: match command.since {
            Some(Since::Position(position)) => Some(position),
            Some(Since::Last) | None => None,
        },
        since_last: command.since == Some(Since::Last),
        approvals: command.approvals,
        settings: command.settings,
        content: command.content,
        licence_terms: command.licence_terms,
        dry_run: command.dry_run,
    };
    let told = |status| explain(status, &client.server, "exporting");
    let answers = client.packages().export_package(request).await;
    let mut answers = answers.map_err(told)?.into_inner();
    if command.dry_run {
        while let Some(answer) = answers.message().await.map_err(told)? {
            match answer.message {
                Some(Message::Progress(progress)) => {
                    steps.at(&harmless(&progress.step), progress.done, progress.total);
                }
                Some(Message::Report(report)) => return Ok(report),
                Some(Message::Data(_)) => bail!(
                    "{} is of a version that does not know --dry-run: update it",
                    client.server
                ),
                None => {}
            }
        }
        bail!("{} ended the export without a word", client.server)
    }
    // Under another name until all of it is there, so that half a package is none.
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let partial = tempfile::Builder::new()
        .prefix(".headwater-export-")
        .tempfile_in(folder.unwrap_or(Path::new(".")));
    let partial = partial.with_context(|| format!("{} cannot be written", path.display()))?;
    let unwritable = || format!("{} cannot be written", path.display());
    let mut file: BufWriter<&File> = BufWriter::new(partial.as_file());
    while let Some(answer) = answers.message().await.map_err(told)? {
        match answer.message {
            Some(Message::Progress(progress)) => {
                steps.at(&harmless(&progress.step), progress.done, progress.total);
            }
            Some(Message::Data(data)) => file.write_all(&data).with_context(unwritable)?,
            Some(Message::Report(report)) => {
                file.flush().with_context(unwritable)?;
                drop(file);
                partial.as_file().sync_all().with_context(unwritable)?;
                partial
                    .persist_noclobber(path)
                    .map_err(|error| error.error)
                    .with_context(unwritable)?;
                return Ok(report);
            }
            None => {}
        }
    }
    bail!("{} ended the export without a word", client.server)
}

/// What is told of an export.
struct Told<'a> {
    report: &'a ExportReport,
    path: &'a Path,
    dry_run: bool,
}

impl Told<'_> {
    fn show(&self, console: &Console) -> anyhow::Result<()> {
        if console.json {
            return console.json_line(&self.as_json());
        }
        for line in self.lines() {
            console.line(line)?;
        }
        Ok(())
    }

    fn as_json(&self) -> Value {
        let report = self.report;
        json!({
            "file": self.path.display().to_string(), "dry_run": self.dry_run, "bytes": report.bytes,
            "revisions": report.revisions, "removals": report.removals,
            "approvals": report.approvals, "settings": report.settings,
            "files": report.files, "file_bytes": report.file_bytes, "files_absent": report.files_absent,
            "base": report.base, "position": report.position,
            "key": Some(report.key.as_str()).filter(|key| !key.is_empty()),
        })
    }

    fn lines(&self) -> Vec<String> {
        let (report, path) = (self.report, self.path);
        let extent = match report.base {
            0 => format!("everything up to position {}", report.position),
            base => format!(
                "what changed after position {base} up to {}",
                report.position
            ),
        };
        let (done, about) = match self.dry_run {
            true => ("Would export", "about "),
            false => ("Exported", ""),
        };
        let mut lines = vec![
            format!("{done} {extent} to {}", path.display()),
            format!(
                "  {} revisions, {} removals, {} approvals{}; {about}{} bytes",
                count(report.revisions),
                count(report.removals),
                count(report.approvals),
                if report.settings { ", settings" } else { "" },
                count(report.bytes),
            ),
        ];
        if report.files + report.files_absent > 0 {
            let mut line = format!(
                "  {} update files with {} bytes",
                count(report.files),
                count(report.file_bytes)
            );
            if report.files_absent > 0 {
                line += &format!(
                    "; {} that are needed are not here, and not in it (headwater content list)",
                    count(report.files_absent)
                );
            }
            lines.push(line);
        }
        match report.key.as_str() {
            _ if self.dry_run => lines.push("No package was written.".to_owned()),
            "" => lines.push(
                "It is not signed: who imports it has to trust the way that it takes.".to_owned(),
            ),
            key => lines.push(format!("Signed with the key {}", harmless(key))),
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_package_chooses_its_format() {
        for (name, expected) in [
            ("a.cab", Named::Wsusutil),
            ("b/A.CAB", Named::Wsusutil),
            ("a.hwpkg", Named::Own),
            ("a.xml.gz", Named::Gzip),
            ("a", Named::Other),
            ("cab", Named::Other),
        ] {
            assert_eq!(named(Path::new(name)), expected, "{name}");
        }
        assert!(package("a.zip").unwrap_err().contains(".hwpkg"));
        assert!(
            package("a.xml.gz")
                .unwrap_err()
                .contains(".xml.gz is not written")
        );
    }

    #[test]
    fn a_package_begins_after_a_position_or_the_last() {
        assert_eq!("last".parse(), Ok(Since::Last));
        assert_eq!("17".parse(), Ok(Since::Position(17)));
        assert!("-1".parse::<Since>().is_err());
    }

    #[test]
    fn a_report_says_how_far_it_goes_and_who_signed() {
        let report = ExportReport {
            revisions: 3,
            base: 5,
            position: 9,
            key: "ab".into(),
            ..ExportReport::default()
        };
        let path = Path::new("a.hwpkg");
        let told = |report: &ExportReport, dry_run| {
            let told = Told {
                report,
                path,
                dry_run,
            };
            (told.lines().join("\n"), told.as_json())
        };
        let (text, _) = told(&report, false);
        assert!(
            text.contains("after position 5 up to 9") && text.contains("the key ab"),
            "{text}"
        );
        let (text, json) = told(&report, true);
        assert!(
            text.starts_with("Would export") && text.ends_with("No package was written."),
            "{text}"
        );
        assert_eq!(json["dry_run"], true);
        let unsigned = ExportReport {
            key: String::new(),
            base: 0,
            ..report
        };
        let (text, json) = told(&unsigned, false);
        assert!(
            text.contains("everything") && text.contains("not signed"),
            "{text}"
        );
        assert_eq!(json["key"], Value::Null);
    }
}
