//! `import`: uploading a package to the top-level site, and having it taken in.

use super::log_file::LogFile;
use super::steps::Steps;
use super::{Named, named};
use crate::connection::{Client, ConnectionArgs, explain, question};
use crate::console::Console;
use crate::render::text::count;
use anyhow::{Context as _, bail};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};
use wire::text::harmless;
use wire::v1::import_package_response::Message;
use wire::v1::{ImportPackageRequest, ImportReport, OfferPackageRequest, UploadPackageRequest};

/// Bytes of one message.
const PIECE: usize = 512 << 10;
/// Messages that wait to be sent.
const WAITING: usize = 4;
/// Longest name that is told to the site, in characters.
const MOST_NAME: usize = 120;

/// Importing a package.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The package is uploaded to the top-level site, read there as a whole, and taken in as a synchronization of its
own: whatever is wrong with it, the catalog stays as it is. An import that was cut goes on where it was.

A package of wsusutil is not signed. Whoever can write the file decides what this hierarchy installs, so it needs
--trust. A package of headwater is signed: the first one of a hierarchy needs --key (as headwater export printed it
there) or --trust, the next ones are known by it.

Examples:
  headwater import export.cab import.log --trust
  headwater import catalog.hwpkg --key 5f2c… --approvals
  headwater import changes.hwpkg --dry-run --json")]
pub struct Command {
    /// The package
    file: PathBuf,
    /// A new file, for what was done when
    log_file: Option<PathBuf>,
    /// Take it though nothing proves where it comes from
    #[arg(long)]
    trust: bool,
    /// The key that signs packages of the hierarchy that it comes from
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Take packages of this hierarchy from now on, and no longer those of the one before
    #[arg(long)]
    rehome: bool,
    /// Take over approvals that are in it
    #[arg(long)]
    approvals: bool,
    /// Take over settings that are in it
    #[arg(long)]
    settings: bool,
    /// Leave the update files that are in it
    #[arg(long)]
    without_content: bool,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// Does what was asked.
///
/// # Errors
/// When the package cannot be read, or the site refuses it.
pub async fn execute(command: Command) -> anyhow::Result<ExitCode> {
    if named(&command.file) == Named::Gzip {
        bail!(
            "{} is a package of the form .xml.gz, which is not read: export it again, naming a package that \
             ends in .cab",
            command.file.display()
        );
    }
    let console = Console::of_process(command.connection.json);
    let path = command.file.display();
    let mut file = File::open(&command.file).with_context(|| format!("{path} cannot be read"))?;
    let log = command
        .log_file
        .as_deref()
        .map(LogFile::create)
        .transpose()?;
    let mut steps = Steps::new(console.json, log);
    steps.note(&format!("import of {path}"));
    let mut outcome = Outcome::Refused;
    let result = import(&command, &mut file, &mut steps, &mut outcome).await;
    steps.end();
    match result {
        Ok(report) => {
            for line in lines(&report) {
                steps.note(&line);
            }
            show(&console, &report)?;
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            steps.note(&format!("{error:#}"));
            steps.note(outcome.told());
            Err(error)
        }
    }
}

/// What is known of an import that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// Nothing of it was taken in.
    Refused,
    /// It can have been taken in all the same.
    Unknown,
}

impl Outcome {
    /// What the answer of the site says of it.
    fn of(status: &Status) -> Self {
        match status.code() {
            Code::Unauthenticated
            | Code::PermissionDenied
            | Code::Unimplemented
            | Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::ResourceExhausted
            | Code::FailedPrecondition
            | Code::OutOfRange
            | Code::Aborted => Self::Refused,
            Code::Ok
            | Code::Cancelled
            | Code::Unknown
            | Code::DeadlineExceeded
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss => Self::Unknown,
        }
    }

    fn told(self) -> &'static str {
        match self {
            Self::Refused => "nothing was imported",
            Self::Unknown => {
                "whether it was imported is in the messages 9020 and 9021 of the site: it goes on without \
                 whoever asked for it"
            }
        }
    }
}

async fn import(
    command: &Command,
    file: &mut File,
    steps: &mut Steps,
    outcome: &mut Outcome,
) -> anyhow::Result<ImportReport> {
    let client = command.connection.connect().await?;
    let size = file.metadata().context("the package cannot be read")?.len();
    steps.at("reading the package", 0, 0);
    let mut hasher = blake3::Hasher::new();
    io::copy(file, &mut hasher).context("the package cannot be read")?;
    let digest = hasher.finalize().as_bytes().to_vec();
    let offer = OfferPackageRequest {
        digest: digest.clone(),
        size,
    };
    let answer = client.packages().offer_package(question(offer)).await;
    let held = answer
        .map_err(|status| explain(status, &client.server, "offering the package"))?
        .into_inner()
        .held;
    if held < size {
        if held > 0 {
            steps.note(&format!("{held} bytes of it are there already"));
        }
        upload(&client, file, &digest, (held, size), steps).await?;
    }
    let name = Path::new(&command.file).file_name().unwrap_or_default();
    let request = ImportPackageRequest {
        digest,
        name: name.to_string_lossy().chars().take(MOST_NAME).collect(),
        trust: command.trust,
        key: command.key.clone().unwrap_or_default(),
        rehome: command.rehome,
        approvals: command.approvals,
        settings: command.settings,
        without_content: command.without_content,
        dry_run: command.dry_run,
    };
    let doing = format!("importing {}", command.file.display());
    // From here on the site can take it in.
    let mut told = |status: Status| {
        *outcome = match command.dry_run {
            true => Outcome::Refused,
            false => Outcome::of(&status),
        };
        explain(status, &client.server, &doing)
    };
    let answers = client.packages().import_package(request).await;
    let mut answers = answers.map_err(&mut told)?.into_inner();
    while let Some(answer) = answers.message().await.map_err(&mut told)? {
        match answer.message {
            Some(Message::Progress(progress)) => {
                steps.at(&harmless(&progress.step), progress.done, progress.total);
            }
            Some(Message::Report(report)) => return Ok(report),
            None => {}
        }
    }
    if !command.dry_run {
        *outcome = Outcome::Unknown;
    }
    bail!(
        "{} ended the import without a word: look at its messages 9020 and 9021",
        client.server
    )
}

async fn upload(
    client: &Client,
    file: &mut File,
    digest: &[u8],
    (held, size): (u64, u64),
    steps: &mut Steps,
) -> anyhow::Result<()> {
    file.seek(SeekFrom::Start(held))
        .context("the package cannot be read")?;
    let (messages, receiver) = tokio::sync::mpsc::channel(WAITING);
    let mut packages = client.packages();
    let upload = packages.upload_package(ReceiverStream::new(receiver));
    let send = async {
        let mut offset = held;
        loop {
            let mut data = Vec::with_capacity(PIECE);
            let read = (&mut *file).take(PIECE as u64).read_to_end(&mut data);
            if read.context("the package cannot be read")? == 0 {
                break;
            }
            let message = UploadPackageRequest {
                digest: digest.to_vec(),
                offset,
                data,
            };
            offset += message.data.len() as u64;
            if messages.send(message).await.is_err() {
                // The answer says why nobody takes any more.
                break;
            }
            steps.at("uploading", offset, size);
        }
        drop(messages);
        Ok::<_, anyhow::Error>(())
    };
    let (answer, sent) = tokio::join!(upload, send);
    sent?;
    answer.map_err(|status| explain(status, &client.server, "uploading the package"))?;
    Ok(())
}

fn show(console: &Console, report: &ImportReport) -> anyhow::Result<()> {
    if console.json {
        return console.json_line(&as_json(report));
    }
    for line in lines(report) {
        console.line(line)?;
    }
    Ok(())
}

fn as_json(report: &ImportReport) -> Value {
    let run = uuid::Uuid::from_slice(&report.run).ok();
    json!({
        "format": report.format, "origin": report.origin, "key": text(&report.key),
        "full": report.full, "base": report.base, "through": report.through,
        "revisions": report.revisions, "added": report.added, "revised": report.revised,
        "expired": report.expired, "held": report.held, "refused": report.refused,
        "removed": report.removed, "approvals": report.approvals,
        "settings_version": Some(report.settings_version).filter(|version| *version > 0),
        "dry_run": report.dry_run, "run": run.map(|run| run.to_string()),
        "files": report.files, "file_bytes": report.file_bytes, "files_taken": report.files_taken,
        "file_bytes_taken": report.file_bytes_taken, "files_held": report.files_held,
        "files_refused": report.files_refused,
        "position": report.position, "remarks": report.remarks,
    })
}

fn text(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

/// The report, for people.
fn lines(report: &ImportReport) -> Vec<String> {
    let what = match report.dry_run {
        true => "Nothing was changed: this is what an import would do",
        false => "Imported",
    };
    let extent = match (report.format.as_str(), report.full) {
        ("wsusutil", _) => "package of wsusutil".to_owned(),
        (_, true) => format!("everything up to position {}", report.through),
        (_, false) => format!(
            "what changed after position {} up to {}",
            report.base, report.through
        ),
    };
    let mut lines = vec![format!("{what}: {extent}, of {}", harmless(&report.origin))];
    let mut rows = vec![
        ("Revisions in it", report.revisions),
        ("New", report.added),
        ("Revised", report.revised),
        ("Expired", report.expired),
        ("Held already", report.held),
        ("Refused (held with another document)", report.refused),
        ("Removed", report.removed),
        ("Approvals", report.approvals),
    ];
    if report.files > 0 {
        rows.push(("Update files in it", report.files));
        rows.push(("Their bytes", report.file_bytes));
        rows.push(("Files held already", report.files_held));
        if !report.dry_run {
            rows.push(("Files taken in", report.files_taken));
            rows.push(("Their bytes", report.file_bytes_taken));
            rows.push(("Files refused", report.files_refused));
        }
    }
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (name, number) in rows {
        lines.push(format!("  {name:<width$}  {:>10}", count(number)));
    }
    if !report.dry_run {
        lines.push(format!("In force at position {}.", report.position));
    }
    if report.settings_version > 0 {
        lines.push(format!(
            "Version {} of the settings:",
            report.settings_version
        ));
    }
    lines.extend(
        report
            .remarks
            .iter()
            .map(|remark| harmless(remark).into_owned()),
    );
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_claimed_of_an_import_whose_end_was_not_heard() {
        for (status, expected) in [
            (Status::failed_precondition("cut off"), Outcome::Refused),
            (Status::aborted("another one"), Outcome::Refused),
            (Status::unavailable("gone"), Outcome::Unknown),
            (Status::unknown("broken pipe"), Outcome::Unknown),
            (Status::internal("database"), Outcome::Unknown),
        ] {
            assert_eq!(Outcome::of(&status), expected, "{status}");
        }
        assert!(Outcome::Unknown.told().contains("9020"));
    }

    #[test]
    fn a_report_says_what_was_done_and_what_was_not() {
        let report = ImportReport {
            format: "headwater".into(),
            origin: "hierarchy x (site CAS)".into(),
            revisions: 4125,
            added: 4087,
            held: 38,
            base: 7,
            through: 9,
            position: 12,
            remarks: vec!["There are no approvals in it".into()],
            ..ImportReport::default()
        };
        let told = lines(&report).join("\n");
        assert!(
            told.starts_with("Imported: what changed after position 7 up to 9, of hierarchy x"),
            "{told}"
        );
        assert!(
            told.contains("4,087") && told.contains("position 12"),
            "{told}"
        );
        assert!(told.ends_with("There are no approvals in it"), "{told}");
        let dry = ImportReport {
            dry_run: true,
            full: true,
            ..report
        };
        let told = lines(&dry).join("\n");
        assert!(told.starts_with("Nothing was changed"), "{told}");
        assert!(!told.contains("In force"), "{told}");
        assert_eq!(as_json(&dry)["settings_version"], Value::Null);
    }
}
