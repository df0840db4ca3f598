//! `update`: the verified catalog of the site that is asked, and what is decided about it.

pub(crate) mod decide;
mod import;

use crate::connection::{Client, ConnectionArgs, explain, question};
use crate::console::Console;
use crate::moment;
use crate::render::{View, json, table, text};
use hierarchy::time;
use serde::Serialize;
use std::process::ExitCode;
use wire::text::harmless;
use wire::v1::{
    GetUpdateRequest, GetUpdateResponse, ListUpdatesRequest, UpdateFile, UpdateSummary,
};

/// Updates that are asked for at once.
const PAGE: u32 = 200;
/// Most updates that one list shows.
const MOST_UPDATES: i64 = 1_000_000;

/// The updates of the catalog.
#[derive(Debug, clap::Args)]
pub struct Command {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List updates
    #[command(after_help = "\
Examples:
  headwater update list cumulative --classification \"Security Updates\"
  headwater update list KB5031455
  headwater update list --cve CVE-2024-30051
  headwater update list --since 2026-11-01 --until 2026-11-30
  headwater update list --type category --limit 500")]
    List(List),
    /// Approve updates: for install, unless --for says otherwise
    #[command(after_help = "\
Examples:
  headwater update approve KB5031455 --deadline 2026-12-01T18:00
  headwater update approve --classification \"Security Updates\" --product \"Windows 11\" --dry-run
  headwater update approve --approval detection --text \"Office 2019\" --for install --accept-licence")]
    Approve(decide::Approve),
    /// Decline updates: they are hidden from clients, and from lists
    Decline(decide::Which),
    /// Take approvals and declines back: the updates are not approved
    Unapprove(decide::Which),
    /// Accept the licence terms of updates, which an approval for install needs
    AcceptLicence(decide::Which),
    /// Fetch single updates from the synchronization source, whatever is chosen, with what they bundle and require
    Import(import::Import),
    /// Show everything about one update
    Show {
        /// GUID of the update, or GUID.REVISION; without a revision the newest one
        #[arg(value_name = "GUID[.REVISION]")]
        id: String,
        /// Print the update document alone, byte for byte
        #[arg(long)]
        document: bool,
    },
}

#[derive(Debug, clap::Args)]
struct List {
    /// Part of the title, or a KB number
    #[arg(value_name = "TEXT")]
    text: Option<String>,
    /// Only this classification: its title or GUID
    #[arg(long, value_name = "TITLE")]
    classification: Option<String>,
    /// Only this product: its title or GUID
    #[arg(long, value_name = "TITLE")]
    product: Option<String>,
    /// Only this type; without it what an administrator approves
    #[arg(long = "type", value_enum, value_name = "TYPE")]
    update_type: Option<UpdateType>,
    /// Only updates in this state
    #[arg(long, value_enum, value_name = "STATE")]
    state: Option<State>,
    /// Only those about which this was decided; without it all but those that were declined
    #[arg(long, value_enum, value_name = "APPROVAL")]
    approval: Option<ApprovalFilter>,
    /// Only those that name this CVE identifier, or a part of it
    #[arg(long, value_name = "CVE")]
    cve: Option<String>,
    /// Only those that were created since: 7d, 24h, or a date such as 2026-11-21
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only those that were created until then; a date means its whole day
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// How many to show
    #[arg(long, short = 'n', value_name = "N", default_value_t = 50,
          value_parser = clap::value_parser!(u32).range(1..=MOST_UPDATES))]
    limit: u32,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum State {
    /// Not expired
    Published,
    /// Expired, by whomever
    Expired,
    /// Withdrawn by its publisher
    ExpiredByPublisher,
    /// Superseded for long enough, by the rules of the settings
    ExpiredBySupersedence,
}

impl State {
    fn name(self) -> &'static str {
        match self {
            Self::Published => "published",
            Self::Expired => "expired",
            Self::ExpiredByPublisher => "expired-by-publisher",
            Self::ExpiredBySupersedence => "expired-by-supersedence",
        }
    }
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum UpdateType {
    /// Updates of programs and of Windows
    Software,
    /// Drivers
    Driver,
    /// Products, product families, companies and classifications
    Category,
    /// Conditions that prerequisites point to
    Detectoid,
}

/// What was decided about updates.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum ApprovalFilter {
    /// Whatever it was
    Any,
    /// Nothing, or it was taken back
    NotApproved,
    /// Detection, install or removal
    Approved,
    /// Clients say whether they need it
    Detection,
    /// Clients install it
    Install,
    /// Clients remove it
    Removal,
    /// It is hidden
    Declined,
}

impl ApprovalFilter {
    fn word(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::NotApproved => "not-approved",
            Self::Approved => "approved",
            Self::Detection => "detection",
            Self::Install => "install",
            Self::Removal => "removal",
            Self::Declined => "declined",
        }
    }
}

impl List {
    /// A list of everything with a text.
    fn of_text(text: String, limit: u32) -> Self {
        Self {
            text: Some(text),
            classification: None,
            product: None,
            update_type: None,
            state: None,
            approval: Some(ApprovalFilter::Any),
            cve: None,
            since: None,
            until: None,
            limit,
        }
    }
}

impl UpdateType {
    fn name(self) -> &'static str {
        match self {
            Self::Software => "Software",
            Self::Driver => "Driver",
            Self::Category => "Category",
            Self::Detectoid => "Detectoid",
        }
    }
}

#[derive(Serialize)]
struct Updates<'a> {
    updates: Vec<json::Update<'a>>,
    more: bool,
}

/// Does what was asked.
///
/// # Errors
/// When the site that is asked refuses or does not answer, or knows no such update.
pub async fn execute(command: Command) -> anyhow::Result<ExitCode> {
    let console = Console::of_process(command.connection.json);
    let client = command.connection.connect().await?;
    match command.action {
        Action::List(list) => show_list(&console, &client, &list).await?,
        Action::Approve(asked) => return decide::approve(&console, &client, asked).await,
        Action::Decline(which) => return decide::decline(&console, &client, which).await,
        Action::Unapprove(which) => return decide::unapprove(&console, &client, which).await,
        Action::AcceptLicence(which) => {
            return decide::accept_licence(&console, &client, which).await;
        }
        Action::Import(import) => return import::execute(import, &client, &console).await,
        Action::Show { id, document } => show_one(&console, &client, id, document).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn show_list(console: &Console, client: &Client, list: &List) -> anyhow::Result<()> {
    let (updates, more) = fetch(client, list).await?;
    if console.json {
        let updates = updates.iter().map(json::update).collect();
        return console.json_line(&Updates { updates, more });
    }
    if updates.is_empty() {
        return console.line("No update of the catalog is like that.");
    }
    console.line(table::updates(&updates, &View::of_process(console)))?;
    if more {
        let shown = updates.len();
        console.remark(format!(
            "The first {shown} are shown; --limit shows more, a text or a filter finds fewer."
        ));
    }
    Ok(())
}

/// The updates asked for, and whether there are more.
async fn fetch(client: &Client, list: &List) -> anyhow::Result<(Vec<UpdateSummary>, bool)> {
    let mut updates = Vec::new();
    let more = each_page(client, list, |update| updates.push(update)).await?;
    Ok((updates, more))
}

/// Does something with each of the updates asked for. Whether there are more.
async fn each_page(
    client: &Client,
    list: &List,
    mut take: impl FnMut(UpdateSummary),
) -> anyhow::Result<bool> {
    let mut left = usize::try_from(list.limit).unwrap_or(usize::MAX);
    let now = crate::now();
    let since = list.since.as_deref().map(|text| moment::since(text, now));
    let since = since.transpose()?.map(wire::convert::from_timestamp);
    let until = list.until.as_deref().map(|text| moment::until(text, now));
    let until = until.transpose()?.map(wire::convert::from_timestamp);
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let mut page_token = String::new();
    loop {
        let request = question(ListUpdatesRequest {
            text: text(&list.text),
            classification: text(&list.classification),
            product: text(&list.product),
            update_type: list.update_type.map_or("", UpdateType::name).to_owned(),
            state: list.state.map_or("", State::name).to_owned(),
            approval: list.approval.map_or("", ApprovalFilter::word).to_owned(),
            cve: text(&list.cve),
            created_since: since,
            created_before: until,
            page_size: list.limit.min(PAGE),
            page_token,
        });
        let answer = client.catalog().list_updates(request).await;
        let answer = answer
            .map_err(|status| explain(status, &client.server, "listing updates"))?
            .into_inner();
        let came = answer.updates.len();
        answer.updates.into_iter().take(left).for_each(&mut take);
        page_token = answer.next_page_token;
        let more = !page_token.is_empty();
        // A page without any is no end: a call looks at a bounded number of updates.
        if came >= left || !more {
            return Ok(more || came > left);
        }
        left -= came;
    }
}

async fn show_one(
    console: &Console,
    client: &Client,
    id: String,
    document: bool,
) -> anyhow::Result<()> {
    let doing = format!("reading update {}", harmless(&id));
    let request = question(GetUpdateRequest {
        update_id: id,
        with_document: document,
        with_relations: !document,
    });
    let answer = client.catalog().get_update(request).await;
    let answer = answer
        .map_err(|status| explain(status, &client.server, &doing))?
        .into_inner();
    if console.json {
        return console.json_line(&json::details(&answer));
    }
    if document {
        return console.verbatim(&answer.document);
    }
    console.line(details(&answer, &View::of_process(console)))
}

/// The updates that are related to an update in one way, and how many more there are.
fn related(answer: &GetUpdateResponse, kind: &str) -> Vec<String> {
    let relations = answer.relations.iter();
    let relations = relations.filter(|relation| relation.kind == kind);
    let lines = relations.flat_map(|relation| {
        let updates = relation.updates.iter();
        let lines = updates.map(|update| {
            let (id, revision, title) = (&update.update_id, update.revision, &update.title);
            format!("{id}.{revision}  {title}")
        });
        let more = (relation.more > 0).then(|| format!("and {} more", relation.more));
        lines.chain(more).collect::<Vec<_>>()
    });
    lines.collect()
}

/// Everything about an update, for people.
fn details(answer: &GetUpdateResponse, view: &View) -> String {
    let none = UpdateSummary::default();
    let summary = answer.summary.as_ref().unwrap_or(&none);
    let mut lines = vec![harmless(&summary.title).into_owned(), String::new()];
    let mut field = |name: &str, value: &str| {
        if !value.is_empty() {
            lines.push(format!("{name:16}{}", harmless(value)));
        }
    };
    field(
        "Update",
        &format!("{}.{}", summary.update_id, summary.revision),
    );
    field("Type", &summary.update_type);
    field("State", hierarchy::words::update_state(summary));
    if let Some(since) = time(summary.expired_since.as_ref()) {
        let since = text::date_and_time(since, view);
        field(
            "Expired",
            &format!("since {since} by {}", summary.expired_by),
        );
    }
    field("Classification", &summary.classification);
    field("Products", &summary.products.join(", "));
    field("KB", &summary.kb_article_ids.join(" "));
    field("CVE", &answer.cve_ids.join(" "));
    field("MSRC severity", &summary.msrc_severity);
    let created = time(summary.creation_date.as_ref());
    field(
        "Created",
        &created.map_or_else(String::new, |time| text::date_and_time(time, view)),
    );
    let decision = summary.decision.as_ref();
    field(
        "Approval",
        &decision.map_or_else(
            || "not approved".to_owned(),
            |decision| text::decision(decision, summary.revision, view),
        ),
    );
    let licence = answer.licence.as_ref();
    field(
        "Licence terms",
        &licence.map_or_else(String::new, |licence| decide::licence_text(licence, view)),
    );
    field("Languages", &answer.languages.join(" "));
    field("Support", &answer.support_url);
    field("Position", &text::count(answer.position));
    if !answer.description.is_empty() {
        lines.push(String::new());
        lines.push(harmless(&answer.description).into_owned());
    }
    let mut list = |name: &str, entries: Vec<String>| {
        if !entries.is_empty() {
            lines.push(String::new());
            lines.push(format!("{name} ({})", entries.len()));
            lines.extend(entries.iter().map(|entry| format!("  {}", harmless(entry))));
        }
    };
    list("Prerequisites", answer.prerequisites.clone());
    list("Bundled updates", answer.bundled.clone());
    list("Supersedes", answer.supersedes.clone());
    list("Superseded by", related(answer, "superseded-by"));
    list("Bundled by", related(answer, "bundled-by"));
    let texts = answer.texts.iter();
    let texts = texts.map(|text| format!("{:8}{}", text.language, text.title));
    list("Titles", texts.collect());
    list("Files", answer.files.iter().map(file).collect());
    if !answer.files.is_empty() {
        lines.push(format!(
            "  needed here: {} of {} (languages: {})",
            text::size(answer.bytes_needed),
            text::size(answer.bytes),
            harmless(&answer.update_file_languages)
        ));
    }
    lines.join("\n")
}

/// A file, and whether the site that was asked needs it.
fn file(file: &UpdateFile) -> String {
    let need = if file.needed { "needed" } else { "not needed" };
    let (name, size) = (&file.name, text::size(file.size));
    let state = match file.state.as_str() {
        "" => String::new(),
        state => format!(" ({})", harmless(state)),
    };
    format!("{name}  {size}  {need}: {}{state}", file.because)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::tz::TimeZone;

    #[test]
    fn an_expired_update_says_since_when_and_by_what() {
        let view = View {
            now: jiff::Timestamp::UNIX_EPOCH,
            zone: TimeZone::UTC,
            colour: false,
            width: None,
        };
        let since: jiff::Timestamp = "2026-03-01T17:00:00Z".parse().unwrap();
        let answer = GetUpdateResponse {
            summary: Some(UpdateSummary {
                publication_state: "Published".into(),
                expired_since: Some(wire::convert::from_timestamp(since)),
                expired_by: "e6cf1350-c01b-414d-a61f-263d14d133b4".into(),
                ..UpdateSummary::default()
            }),
            ..GetUpdateResponse::default()
        };
        let told = details(&answer, &view);
        for line in [
            "State           Expired (superseded)",
            "Expired         since 2026-03-01 17:00:00 by e6cf1350-c01b-414d-a61f-263d14d133b4",
        ] {
            assert!(told.contains(line), "{told}");
        }
    }

    #[test]
    fn details_show_what_is_there_and_nothing_else() {
        let view = View {
            now: jiff::Timestamp::UNIX_EPOCH,
            zone: TimeZone::UTC,
            colour: false,
            width: None,
        };
        let answer = GetUpdateResponse {
            summary: Some(UpdateSummary {
                update_id: "e6cf1350-c01b-414d-a61f-263d14d133b4".into(),
                revision: 200,
                title: "Cumulative\x07 Update".into(),
                kb_article_ids: vec!["5031455".into()],
                products: vec!["Windows 11".into(), "Windows 10".into()],
                ..UpdateSummary::default()
            }),
            prerequisites: vec!["one of: a, b".into()],
            files: vec![UpdateFile {
                name: "a.cab".into(),
                size: 2048,
                because: "for fr, which is not among the languages here".into(),
                ..UpdateFile::default()
            }],
            bytes: 2048,
            update_file_languages: "de, en".into(),
            position: 1200,
            ..GetUpdateResponse::default()
        };
        let expected = "\
Cumulative  Update

Update          e6cf1350-c01b-414d-a61f-263d14d133b4.200
Products        Windows 11, Windows 10
KB              5031455
Approval        not approved
Position        1,200

Prerequisites (1)
  one of: a, b

Files (1)
  a.cab  2.0 KB  not needed: for fr, which is not among the languages here
  needed here: 0 bytes of 2.0 KB (languages: de, en)";
        assert_eq!(details(&answer, &view), expected);
    }
}
