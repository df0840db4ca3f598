//! `settings`: what synchronizes, when and how, for the whole hierarchy; its history, and what each setting
//! means.

mod preview;
mod show;
mod titles;

use crate::connection::{Client, ConnectionArgs, explain, question};
use crate::console::Console;
use crate::render::View;
use anyhow::{Context as _, bail};
use serde_json::Value;
use settings::Settings;
use settings::change::{Change, difference};
use std::io::{self, IsTerminal as _};
use std::path::PathBuf;
use std::process::ExitCode;
use titles::Titles;
use wire::text::harmless;
use wire::v1::change_settings_request::To;
use wire::v1::{
    Assignments, ChangeSettingsRequest, ChangeSettingsResponse, GetSettingsRequest,
    GetSettingsResponse, ListCategoriesRequest, ListSettingsVersionsRequest, SetSecretRequest,
    SettingChange,
};

/// Whose password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
enum PasswordOf {
    /// Of the proxy's user (proxy.user)
    #[default]
    Proxy,
    /// Of the connection account at the upstream server (source.user)
    Source,
    /// What notifications to web addresses are signed with (notifications.webhooks)
    Webhook,
    /// Of the user of the mail server (notifications.mail.user)
    Mail,
}

impl PasswordOf {
    fn secret(self) -> &'static str {
        match self {
            Self::Proxy => "proxy.password",
            Self::Source => "source.password",
            Self::Webhook => "notifications.secret",
            Self::Mail => "notifications.mail.password",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Proxy => "password of the proxy's user",
            Self::Source => "password of the connection account",
            Self::Webhook => "secret that notifications to web addresses are signed with",
            Self::Mail => "password of the mail server's user",
        }
    }
}
/// Largest settings file, in bytes.
const MOST_FILE: u64 = 1 << 20;
/// Versions that can be asked for at once.
const MOST_VERSIONS: i64 = 100;

/// The settings of the hierarchy.
#[derive(Debug, clap::Args)]
pub struct Command {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Show every setting, or those whose names begin like this
    Show {
        /// Beginning of the names, such as schedule or proxy.host
        #[arg(value_name = "NAME")]
        name: Option<String>,
        /// An earlier version
        #[arg(long, value_name = "N")]
        version: Option<u64>,
        /// Only what is not the default
        #[arg(long)]
        changed: bool,
        /// As a TOML document, which "headwater settings import" takes
        #[arg(long, conflicts_with_all = ["changed", "name"])]
        toml: bool,
        /// What is in effect at a site, and where each setting comes from
        #[arg(long, value_name = "CODE", conflicts_with_all = ["version", "toml"])]
        site: Option<String>,
    },
    /// Change settings: NAME=VALUE, and for lists NAME+=VALUE and NAME-=VALUE
    #[command(after_help = "\
Examples:
  headwater settings set source.action=upstream-server source.url=https://wsus.example.org:8531
  headwater settings set products.classifications+=Drivers
  headwater settings set proxy.host=proxy.example.org proxy.port=3128 --dry-run
  headwater settings set languages.update-files=de,fr site.SE1.update-files=fr
  headwater settings set schedule.when='{\"daily\":{\"first\":\"03:00\",\"times\":4}}'
  headwater settings set schedule.when.monthly-by-weekday.offset-days=1
  headwater settings set approvals.rules.office.title='*Office*' \\
      approvals.rules.office.approval=install approvals.rules.office.deadline-days=7
  headwater settings set proxy.host=          # an optional setting is given up with nothing")]
    Set {
        /// What to change; all of it happens, or nothing
        #[arg(value_name = "NAME=VALUE", required = true)]
        assignments: Vec<String>,
        #[command(flatten)]
        how: How,
    },
    /// Give settings their defaults back: one, or all below a name
    Reset {
        /// Names, such as proxy or schedule.when
        #[arg(value_name = "NAME", required = true)]
        names: Vec<String>,
        #[command(flatten)]
        how: How,
    },
    /// Replace all settings by those of a TOML or JSON file; what it does not name gets its default
    Import {
        /// The file
        #[arg(value_name = "FILE")]
        file: PathBuf,
        #[command(flatten)]
        how: How,
    },
    /// Show what two versions do not have in common
    Diff {
        /// The older version; without it the one before the version in force
        #[arg(value_name = "FROM")]
        from: Option<u64>,
        /// The newer version; without it the version in force
        #[arg(value_name = "TO")]
        to: Option<u64>,
    },
    /// List the versions, newest first: when, who, and what changed
    History {
        /// How many to show
        #[arg(long, short = 'n', value_name = "N", default_value_t = 20,
              value_parser = clap::value_parser!(u32).range(1..=MOST_VERSIONS))]
        limit: u32,
    },
    /// Make a new version that is like an earlier one
    Rollback {
        /// The earlier version
        #[arg(value_name = "VERSION")]
        version: u64,
        #[command(flatten)]
        how: How,
    },
    /// Show the products and classifications that the catalog has, and what is chosen of them
    #[command(after_help = "\
Choose by title where that is unique, else by GUID; --dry-run asks the source how many updates it adds:
  headwater settings set products.products+=\"Windows 11\" products.classifications+=Upgrades --dry-run")]
    Products {
        /// Only those with this in their titles, and what stands above them
        #[arg(value_name = "TEXT")]
        text: Option<String>,
        /// Only what is chosen or included
        #[arg(long)]
        chosen: bool,
    },
    /// The schedule: when it will start synchronizations
    #[command(subcommand)]
    Schedule(ScheduleAction),
    /// Set the password of the proxy's user, of the connection account or of the mail server's user, or the
    /// secret of webhooks: asked for, or read from standard input
    Password {
        /// Whose
        #[arg(value_enum, value_name = "WHOSE", default_value_t)]
        of: PasswordOf,
        /// Give it up
        #[arg(long)]
        clear: bool,
    },
    /// Print the JSON schema of the document
    Schema,
    /// Print what every setting means, its default, its limits, and its name in WSUS and Configuration
    /// Manager, in Markdown
    Reference,
}

#[derive(Debug, clap::Subcommand)]
enum ScheduleAction {
    /// Print the next times of the schedule in force, or of one that is not saved yet
    #[command(after_help = "\
Examples:
  headwater settings schedule preview
  headwater settings schedule preview -n 24 schedule.when.cron='0 3 * * *' schedule.time-zone=Europe/Berlin")]
    Preview {
        /// Changes as "headwater settings set" takes them, to see what they would do; nothing is saved
        #[arg(value_name = "NAME=VALUE")]
        assignments: Vec<String>,
        /// How many times to print
        #[arg(long, short = 'n', value_name = "N", default_value_t = 12,
              value_parser = clap::value_parser!(u32).range(1..=MOST_VERSIONS))]
        count: u32,
    },
}

#[derive(Debug, clap::Args)]
struct How {
    /// Change nothing, and say what would change
    #[arg(long)]
    dry_run: bool,
    /// Only if this version is in force
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    expect: u64,
}

/// Does what was asked.
///
/// # Errors
/// When the site that is asked refuses or does not answer, or a file cannot be used.
pub async fn execute(command: Command) -> anyhow::Result<ExitCode> {
    let console = Console::of_process(command.connection.json);
    // These two ask nobody.
    if matches!(command.action, Action::Schema) {
        let schema = settings::reference::schema();
        let text = serde_json::to_string_pretty(&schema).context("the schema")?;
        console.line(text)?;
        return Ok(ExitCode::SUCCESS);
    }
    if matches!(command.action, Action::Reference) {
        console.verbatim(&settings::reference::markdown())?;
        return Ok(ExitCode::SUCCESS);
    }
    let client = command.connection.connect().await?;
    match command.action {
        Action::Show {
            name,
            version,
            changed,
            toml,
            site: Some(site),
        } => {
            debug_assert!(!toml && version.is_none(), "the command line refuses both");
            let answer = of_site(&client, site.clone()).await?;
            let sites = crate::follow::sites(&client).await?;
            let reported = sites.site(&site).map(|report| report.settings_version);
            show::effective(
                &console,
                &answer,
                (&site, reported),
                name.as_deref(),
                changed,
            )?;
        }
        Action::Show {
            name,
            version,
            changed,
            toml,
            site: None,
        } => {
            let answer = get(&client, version.unwrap_or(0)).await?;
            if toml {
                if show::is_replica(&answer) {
                    bail!(
                        "{}; ask for the whole document there",
                        harmless(&answer.role)
                    );
                }
                let settings = document(&answer)?;
                let text = toml::to_string(&settings).context("the settings as TOML")?;
                console.verbatim(&text)?;
            } else {
                show::show(&console, &answer, name.as_deref(), changed)?;
            }
        }
        Action::Set { assignments, how } => {
            let to = To::Assignments(Assignments {
                set: assignments,
                reset: Vec::new(),
            });
            change(&console, &client, to, &how).await?;
        }
        Action::Reset { names, how } => {
            let to = To::Assignments(Assignments {
                set: Vec::new(),
                reset: names,
            });
            change(&console, &client, to, &how).await?;
        }
        Action::Import { file, how } => {
            let to = To::Document(read(&file)?.to_json());
            change(&console, &client, to, &how).await?;
        }
        Action::Rollback { version, how } => {
            change(&console, &client, To::Version(version), &how).await?;
        }
        Action::Diff { from, to } => diff(&console, &client, from, to).await?,
        Action::History { limit } => {
            let request = question(ListSettingsVersionsRequest { limit });
            let answer = client.settings().list_settings_versions(request).await;
            let answer =
                answer.map_err(|status| explain(status, &client.server, "listing the versions"))?;
            let versions = answer.into_inner().versions;
            let changes: Vec<Change> = versions
                .iter()
                .flat_map(|version| decoded(version.changes.clone()))
                .collect();
            let titles = match console.json {
                true => Titles::default(),
                false => Titles::of(&client, &changes).await,
            };
            let view = View::of_process(&console);
            show::history(&console, &versions, &titles, &view)?;
        }
        Action::Products { text, chosen } => {
            let mut settings = client.settings();
            let answer = settings
                .list_categories(question(ListCategoriesRequest {}))
                .await;
            let answer =
                answer.map_err(|status| explain(status, &client.server, "listing the products"))?;
            let entries = answer.into_inner().categories;
            show::products(&console, &entries, text.as_deref(), chosen)?;
        }
        Action::Schedule(ScheduleAction::Preview { assignments, count }) => {
            preview::preview(&console, &client, &assignments, count).await?;
        }
        Action::Password { of, clear } => {
            let secret = if clear { String::new() } else { password(of)? };
            let request = question(SetSecretRequest {
                name: of.secret().to_owned(),
                secret,
            });
            let answer = client.settings().set_secret(request).await;
            answer.map_err(|status| explain(status, &client.server, "setting the password"))?;
            let done = if clear { "given up" } else { "set" };
            if console.json {
                console.json_line(&serde_json::json!({ "secret": of.secret(), "done": done }))?;
            } else {
                console.line(format!("The {} was {done}.", of.words()))?;
            }
        }
        Action::Schema | Action::Reference => {}
    }
    Ok(ExitCode::SUCCESS)
}

async fn get(client: &Client, version: u64) -> anyhow::Result<GetSettingsResponse> {
    let request = GetSettingsRequest {
        version,
        site_code: String::new(),
    };
    ask(client, request).await
}

/// The settings in effect at a site.
async fn of_site(client: &Client, site_code: String) -> anyhow::Result<GetSettingsResponse> {
    let request = GetSettingsRequest {
        version: 0,
        site_code,
    };
    ask(client, request).await
}

async fn ask(client: &Client, request: GetSettingsRequest) -> anyhow::Result<GetSettingsResponse> {
    let request = question(request);
    let answer = client.settings().get_settings(request).await;
    let answer =
        answer.map_err(|status| explain(status, &client.server, "reading the settings"))?;
    Ok(answer.into_inner())
}

/// The document of an answer. A newer site may have settings that this program does not know.
fn document(answer: &GetSettingsResponse) -> anyhow::Result<Settings> {
    Settings::from_json(&answer.document)
        .context("the site has settings that this program does not know: update it")
}

fn read(file: &PathBuf) -> anyhow::Result<Settings> {
    let named = || format!("the settings file {}", file.display());
    let size = std::fs::metadata(file).with_context(named)?.len();
    if size > MOST_FILE {
        bail!("the settings file {} is larger than 1 MiB", file.display());
    }
    let text = std::fs::read_to_string(file).with_context(named)?;
    if text.trim_start().starts_with('{') {
        return Settings::from_json(&text).with_context(named);
    }
    Ok(daemon::config::read(file)?)
}

async fn change(console: &Console, client: &Client, to: To, how: &How) -> anyhow::Result<()> {
    let request = question(ChangeSettingsRequest {
        to: Some(to),
        expected_version: how.expect,
        dry_run: how.dry_run,
        ..ChangeSettingsRequest::default()
    });
    let answer = client.settings().change_settings(request).await;
    let answer = answer
        .map_err(|status| explain(status, &client.server, "changing the settings"))?
        .into_inner();
    let ChangeSettingsResponse {
        version,
        changes,
        consequences,
        preview,
    } = answer;
    let changes = decoded(changes);
    if console.json {
        let (changed, dry_run) = (&changes, how.dry_run);
        return console.json_line(&serde_json::json!({
            "version": version, "dry_run": dry_run, "changes": changed,
            "consequences": consequences,
            "preview": preview.map(|preview| serde_json::json!({
                "adds": preview.adds, "no_longer_kept_up": preview.no_longer_kept_up,
                "unknown": preview.unknown,
            })),
        }));
    }
    if changes.is_empty() {
        return console.line(format!(
            "Nothing changes: version {version} stays in force."
        ));
    }
    let titles = Titles::of(client, &changes).await;
    for change in &changes {
        console.line(harmless(&titles.told(change)))?;
    }
    for consequence in &consequences {
        console.line(harmless(consequence))?;
    }
    if how.dry_run {
        console.line(format!(
            "Nothing was changed; version {version} is in force."
        ))
    } else {
        console.line(format!("Version {version} of the settings is in force."))
    }
}

fn decoded(changes: Vec<SettingChange>) -> Vec<Change> {
    let value = |json: String| serde_json::from_str::<Value>(&json).ok();
    changes
        .into_iter()
        .map(|change| Change {
            name: change.name,
            old: value(change.old),
            new: value(change.new),
        })
        .collect()
}

async fn diff(
    console: &Console,
    client: &Client,
    from: Option<u64>,
    to: Option<u64>,
) -> anyhow::Result<()> {
    let newer = get(client, to.unwrap_or(0)).await?;
    let from = from.unwrap_or_else(|| newer.version.saturating_sub(1));
    let older = match from {
        // Before the first change there are the defaults.
        0 => Settings::default(),
        from => document(&get(client, from).await?)?,
    };
    let changes = difference(&older, &document(&newer)?);
    if console.json {
        return console.json_line(&serde_json::json!({
            "from": from, "to": newer.version, "changes": changes,
        }));
    }
    if changes.is_empty() {
        return console.line(format!(
            "Versions {from} and {} are the same.",
            newer.version
        ));
    }
    let titles = Titles::of(client, &changes).await;
    for change in &changes {
        console.line(harmless(&titles.told(change)))?;
    }
    Ok(())
}

/// A password: typed unseen at a terminal, else the first line of standard input.
fn password(of: PasswordOf) -> anyhow::Result<String> {
    let password = if io::stdin().is_terminal() {
        rpassword::prompt_password(format!("The {}: ", of.words())).context("the terminal")?
    } else {
        let mut line = String::new();
        io::stdin()
            .read_line(&mut line)
            .context("standard input cannot be read")?;
        line.trim_end_matches(['\r', '\n']).to_owned()
    };
    if password.is_empty() {
        bail!("the password is empty: give it up with --clear");
    }
    Ok(password)
}

#[cfg(test)]
mod tests {
    use super::PasswordOf;
    use clap::ValueEnum as _;
    use settings::reference::SECRETS;

    #[test]
    fn the_reference_says_how_each_secret_is_set() {
        let words = PasswordOf::value_variants().iter().map(|of| {
            let word = of.to_possible_value().unwrap();
            (of.secret(), word.get_name().to_owned())
        });
        let mut words: Vec<_> = words.collect();
        let mut told = SECRETS.map(|secret| (secret.name, secret.word.to_owned()));
        words.sort();
        told.sort();
        assert_eq!(words, told);
    }
}
