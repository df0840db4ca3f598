//! `content`: the update files of a site.

mod show;

use crate::connection::{Client, ConnectionArgs, explain, question};
use crate::console::Console;
use crate::render::{View, table};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use wire::text::harmless;
use wire::v1::{
    CleanContentRequest, GetContentUsageRequest, ImportContentRequest, ImportContentResponse,
    ListContentRequest, RetryContentRequest, VerifyContentRequest, VerifyContentResponse,
};

/// Reading all files of a site takes long.
const PATIENCE: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// The clean-up of many files takes longer than other questions.
const CLEANING: Duration = Duration::from_secs(30 * 60);
/// Files that one answer brings.
const PAGE: u32 = 500;

/// The update files of a site.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Each site looks after its own files: name the site that you mean with --server, or run this on its
machine. Which files a site needs follows from approvals, languages and the settings below \"content\".

Examples:
  headwater content usage
  headwater content list --state wanted
  headwater content import /mnt/disk/WsusContent --dry-run
  headwater content verify
  headwater content retry")]
pub struct Command {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Show how many files are here and to come, and what is chosen for this site
    Usage,
    /// List the files that are needed or here, and why
    List {
        /// Only those in this state
        #[arg(long, value_enum)]
        state: Option<State>,
        /// Only those that did not come at the last attempt
        #[arg(long)]
        failing: bool,
        /// How many at most
        #[arg(long, default_value_t = 100, value_name = "NUMBER")]
        limit: usize,
    },
    /// Read every file that is here; what is damaged is put aside and fetched again
    Verify,
    /// Take in files that were copied to the machine of the site, whatever they are called
    #[command(after_help = "\
The directory is one of the machine on which the site runs: nothing is sent over the network. Files
are known by their digests; those that the catalog does not name are left out. It may be a WsusContent
folder of a WSUS server. Nothing in the directory is changed.")]
    Import {
        /// The directory, on the machine of the site
        #[arg(value_name = "DIR")]
        directory: PathBuf,
        /// Take nothing in, and say what would be
        #[arg(long)]
        dry_run: bool,
    },
    /// Try everything again now that did not come yet
    Retry,
    /// Remove files that nothing has needed for long enough
    Clean {
        /// Remove nothing, and say what would be
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum State {
    /// Needed, and to come
    Wanted,
    /// Needed, and here
    Present,
    /// Needed; what came was not what the catalog says
    Quarantined,
    /// Here, and needed by nothing
    Unneeded,
}

impl State {
    const fn name(self) -> &'static str {
        match self {
            Self::Wanted => "wanted",
            Self::Present => "present",
            Self::Quarantined => "quarantined",
            Self::Unneeded => "unneeded",
        }
    }
}

/// Does what was asked. The exit code is 1 where files were damaged, missing or could not be taken in.
///
/// # Errors
/// When the site that is asked refuses or does not answer.
pub async fn execute(command: Command) -> anyhow::Result<ExitCode> {
    let console = Console::of_process(command.connection.json);
    let client = command.connection.connect().await?;
    match command.action {
        Action::Usage => usage(&client, &console).await,
        Action::List {
            state,
            failing,
            limit,
        } => list(&client, &console, state, failing, limit).await,
        Action::Verify => verify(&client, &console).await,
        Action::Import { directory, dry_run } => {
            import(&client, &console, directory, dry_run).await
        }
        Action::Retry => retry(&client, &console).await,
        Action::Clean { dry_run } => clean(&client, &console, dry_run).await,
    }
}

async fn usage(client: &Client, console: &Console) -> anyhow::Result<ExitCode> {
    let request = question(GetContentUsageRequest {});
    let answer = client.content().get_content_usage(request).await;
    let usage = answer
        .map_err(|status| explain(status, &client.server, "asking for the update files"))?
        .into_inner();
    if console.json {
        console.json_line(&show::usage_json(&usage))?;
    } else {
        for line in show::usage(&usage) {
            console.line(line)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(
    client: &Client,
    console: &Console,
    state: Option<State>,
    failing: bool,
    limit: usize,
) -> anyhow::Result<ExitCode> {
    let mut files = Vec::new();
    let mut page_token = String::new();
    let more = loop {
        let left = limit.saturating_sub(files.len());
        let request = question(ListContentRequest {
            state: state
                .map(|state| state.name().to_owned())
                .unwrap_or_default(),
            page_size: u32::try_from(left).unwrap_or(PAGE).clamp(1, PAGE),
            page_token,
            failing,
        });
        let answer = client.content().list_content(request).await;
        let page = answer
            .map_err(|status| explain(status, &client.server, "listing the update files"))?
            .into_inner();
        files.extend(page.files);
        page_token = page.next_page_token;
        if page_token.is_empty() || files.len() >= limit {
            break !page_token.is_empty();
        }
    };
    files.truncate(limit);
    if console.json {
        for file in &files {
            console.json_line(&show::file_json(file))?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    if files.is_empty() {
        console.line("There are no such files at this site.")?;
        return Ok(ExitCode::SUCCESS);
    }
    console.line(table::content(&files, &View::of_process(console)))?;
    if more {
        console.line(format!(
            "\nThese are the first {limit}: --limit shows more."
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A bar for a person, and none for anybody else.
fn bar(console: &Console, total: Option<u64>) -> ProgressBar {
    let is_seen = console.terminal && !console.json;
    let bar = match total {
        Some(total) => ProgressBar::new(total),
        None => ProgressBar::no_length(),
    };
    bar.set_draw_target(match is_seen {
        true => ProgressDrawTarget::stderr(),
        false => ProgressDrawTarget::hidden(),
    });
    let template = match total {
        Some(_) => "{bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta} {msg}",
        None => "{spinner} {bytes} {bytes_per_sec} {msg}",
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

async fn verify(client: &Client, console: &Console) -> anyhow::Result<ExitCode> {
    let doing = "verifying the update files";
    let mut request = question(VerifyContentRequest {});
    request.set_timeout(PATIENCE);
    let answers = client.content().verify_content(request).await;
    let mut answers = answers
        .map_err(|status| explain(status, &client.server, doing))?
        .into_inner();
    let bar = bar(console, Some(0));
    let mut last = VerifyContentResponse::default();
    while let Some(progress) = answers
        .message()
        .await
        .map_err(|status| explain(status, &client.server, doing))?
    {
        bar.set_length(progress.total_bytes);
        bar.set_position(progress.bytes);
        if !progress.found.is_empty() && !console.json {
            bar.suspend(|| console.line(harmless(&progress.found)))?;
        }
        last = progress;
    }
    bar.finish_and_clear();
    if !last.done {
        anyhow::bail!("the site ended before every file was read; start it again");
    }
    let bad = last.damaged + last.missing;
    if console.json {
        console.json_line(&json!({
            "files": last.files, "bytes": last.bytes,
            "damaged": last.damaged, "missing": last.missing,
        }))?;
    } else {
        console.line(show::verified(&last))?;
    }
    Ok(match bad {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

async fn import(
    client: &Client,
    console: &Console,
    directory: PathBuf,
    dry_run: bool,
) -> anyhow::Result<ExitCode> {
    let doing = "taking update files in";
    let directory = match directory.is_absolute() {
        true => directory,
        // Most people run this on the machine of the site.
        false => std::path::absolute(&directory)?,
    };
    let directory = directory.into_os_string().into_string().map_err(|name| {
        anyhow::anyhow!(
            "{} cannot be told to the site: its name is no text",
            name.display()
        )
    })?;
    let mut request = question(ImportContentRequest { directory, dry_run });
    request.set_timeout(PATIENCE);
    let answers = client.content().import_content(request).await;
    let mut answers = answers
        .map_err(|status| explain(status, &client.server, doing))?
        .into_inner();
    let bar = bar(console, None);
    let mut last = ImportContentResponse::default();
    while let Some(progress) = answers
        .message()
        .await
        .map_err(|status| explain(status, &client.server, doing))?
    {
        bar.set_position(progress.bytes);
        bar.set_message(format!("{} files", progress.files));
        last = progress;
    }
    bar.finish_and_clear();
    if !last.done {
        anyhow::bail!("the site ended before every file was looked at; start it again");
    }
    if console.json {
        console.json_line(&show::imported_json(&last, dry_run))?;
    } else {
        for line in show::imported(&last, dry_run) {
            console.line(line)?;
        }
    }
    Ok(match last.problems.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

async fn retry(client: &Client, console: &Console) -> anyhow::Result<ExitCode> {
    let answer = client
        .content()
        .retry_content(question(RetryContentRequest {}))
        .await;
    let files = answer
        .map_err(|status| explain(status, &client.server, "trying update files again"))?
        .into_inner()
        .files;
    if console.json {
        console.json_line(&json!({ "files": files }))?;
    } else {
        console.line(match files {
            0 => "No file was waiting for another attempt.".to_owned(),
            1 => "1 file is tried again now.".to_owned(),
            files => format!("{files} files are tried again now."),
        })?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn clean(client: &Client, console: &Console, dry_run: bool) -> anyhow::Result<ExitCode> {
    let mut request = question(CleanContentRequest { dry_run });
    request.set_timeout(CLEANING);
    let answer = client.content().clean_content(request).await;
    let cleaned = answer
        .map_err(|status| explain(status, &client.server, "cleaning up update files"))?
        .into_inner();
    if console.json {
        console.json_line(&show::cleaned_json(&cleaned, dry_run))?;
    } else {
        for line in show::cleaned(&cleaned, dry_run) {
            console.line(line)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
