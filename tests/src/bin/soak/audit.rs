//! What the databases say when all has ended: whether they are sound, and whether the central site was told
//! each site's story whole and once.

use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, Row as _};
use std::collections::BTreeMap;
use std::path::Path;
use store::status::{STATUS_MESSAGES_KEPT, StatusRow};
use store::{DATABASE_FILE, Location, Store};

/// Where the central site has forgotten the oldest messages, those of so many milliseconds more are left
/// out: messages do not come quite in the order of their times.
const BLURRED: i64 = 10 * 60 * 1000;
/// Findings that are told of one kind, at most.
const MOST_TOLD: usize = 20;

/// What was found.
#[derive(Debug, Default)]
pub struct Audit {
    /// Databases that were looked at.
    databases: usize,
    /// Databases that are damaged, and how.
    damaged: Vec<String>,
    /// Status messages at the central site.
    messages: usize,
    /// Messages that are lost, doubled or altered.
    wrong: Vec<String>,
}

/// The story of a site, by the numbers of its messages.
pub type Story = BTreeMap<u64, StatusRow>;

/// What is wrong with what the central site holds of a site, where the site itself says `own`. Messages
/// since `quiet`, in milliseconds since 1970, may still be on their way.
pub fn compare(code: &str, told: &Story, own: Option<&Story>, quiet: i64) -> Vec<String> {
    let mut wrong = Vec::new();
    let numbers: Vec<u64> = told.keys().copied().collect();
    for pair in numbers.windows(2) {
        if pair[1] != pair[0] + 1 {
            wrong.push(format!(
                "{code}: nothing between {} and {}",
                pair[0], pair[1]
            ));
        }
    }
    let Some(own) = own else { return wrong };
    // What the central site has forgotten because of its age is not missing.
    let first = numbers.first().copied().unwrap_or(0);
    for (number, message) in own.range(first..) {
        match told.get(number) {
            Some(found) if found == message => {}
            Some(_) => wrong.push(format!("{code}: {number} was altered")),
            None if message.time.as_millisecond() >= quiet => {}
            None => wrong.push(format!("{code}: {number} did not arrive")),
        }
    }
    // A site may have forgotten the oldest; what it never said was made up or told twice.
    let oldest = own.keys().next().copied().unwrap_or(u64::MAX);
    for (number, _) in told.range(oldest..) {
        if !own.contains_key(number) {
            wrong.push(format!("{code}: {number} was never said"));
        }
    }
    wrong
}

impl Audit {
    /// Whether everything is as it has to be.
    pub fn good(&self) -> bool {
        self.damaged.is_empty() && self.wrong.is_empty()
    }

    /// For the summary.
    pub fn told(&self) -> Value {
        let first = |findings: &[String]| findings[..findings.len().min(MOST_TOLD)].to_vec();
        json!({
            "databases": self.databases,
            "damaged": first(&self.damaged),
            "status_messages": self.messages,
            "status_messages_wrong": self.wrong.len(),
            "first_wrong": first(&self.wrong),
        })
    }

    /// Lets SQLite check a database.
    pub async fn check(&mut self, data_dir: &Path) {
        self.databases += 1;
        let found = match integrity(data_dir).await {
            Ok(found) => found,
            Err(error) => vec![error.to_string()],
        };
        if found != ["ok"] {
            self.damaged
                .push(format!("{}: {}", data_dir.display(), found.join("; ")));
        }
    }

    /// Compares the stories of sites with what the central site was told. Sites that were removed are
    /// looked for gaps alone: their last words may not have arrived.
    ///
    /// # Errors
    /// When a database cannot be read.
    pub async fn stories(
        &mut self,
        central: &Path,
        sites: &[(String, std::path::PathBuf)],
        quiet: i64,
    ) -> anyhow::Result<()> {
        let mut told: BTreeMap<String, Story> = BTreeMap::new();
        for row in messages(central, None).await? {
            self.messages += 1;
            let story = told.entry(row.site.to_string()).or_default();
            story.insert(row.number, row);
        }
        let forgets = self.messages as u64 >= STATUS_MESSAGES_KEPT;
        if forgets {
            forget_blurred(&mut told);
        }
        for (code, data_dir) in sites {
            let rows = messages(data_dir, Some(code)).await?.into_iter();
            let own: Story = rows.map(|row| (row.number, row)).collect();
            let told = told.remove(code).unwrap_or_default();
            if forgets && told.is_empty() {
                continue;
            }
            self.wrong.extend(compare(code, &told, Some(&own), quiet));
        }
        for (code, told) in told {
            self.wrong.extend(compare(&code, &told, None, quiet));
        }
        Ok(())
    }
}

/// Leaves out what lies so far back that the central site may have forgotten messages beside it.
fn forget_blurred(told: &mut BTreeMap<String, Story>) {
    let times = told.values().flat_map(BTreeMap::values);
    let oldest = times.map(|row| row.time.as_millisecond()).min();
    let horizon = oldest.unwrap_or(0) + BLURRED;
    for story in told.values_mut() {
        let old = |row: &StatusRow| row.time.as_millisecond() < horizon;
        let last = story.values().rev().find(|row| old(row));
        if let Some(last) = last.map(|row| row.number) {
            story.retain(|number, _| *number > last);
        }
    }
}

async fn integrity(data_dir: &Path) -> Result<Vec<String>, sqlx::Error> {
    let options = SqliteConnectOptions::new().filename(data_dir.join(DATABASE_FILE));
    let mut connection = options.connect().await?;
    let rows = sqlx::query("pragma integrity_check")
        .fetch_all(&mut connection)
        .await?;
    connection.close().await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

async fn messages(data_dir: &Path, code: Option<&str>) -> anyhow::Result<Vec<StatusRow>> {
    let store = Store::open(&Location::Directory(data_dir.to_owned())).await?;
    let site = code.map(str::parse).transpose()?;
    let messages = store.read().await?.status_messages(site, u32::MAX).await?;
    store.close().await;
    Ok(messages)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    fn story(numbers: &[u64]) -> Story {
        let message = |number: u64| StatusRow {
            site: "SE1".parse().unwrap(),
            number,
            time: Timestamp::from_millisecond(number as i64).unwrap(),
            status_id: 6701,
            run: None,
            inserts: Vec::new(),
        };
        numbers
            .iter()
            .map(|number| (*number, message(*number)))
            .collect()
    }

    fn found(told: &[u64], own: &[u64], quiet: i64) -> Vec<String> {
        compare("SE1", &story(told), Some(&story(own)), quiet)
    }

    #[test]
    fn a_story_that_arrived_whole_is_good() {
        assert_eq!(found(&[5, 6, 7], &[5, 6, 7], 100), [""; 0]);
        // The one has forgotten the oldest, or the other.
        assert_eq!(found(&[6, 7], &[5, 6, 7], 100), [""; 0]);
        assert_eq!(found(&[5, 6, 7], &[6, 7], 100), [""; 0]);
        // The last was said when the processes ended.
        assert_eq!(found(&[5, 6], &[5, 6, 7], 7), [""; 0]);
        assert_eq!(found(&[5, 6], &[5, 6, 7], 8), ["SE1: 7 did not arrive"]);
    }

    #[test]
    fn what_is_lost_made_up_or_altered_is_found() {
        let lost = found(&[5, 7], &[5, 6, 7], 100);
        assert_eq!(
            lost,
            ["SE1: nothing between 5 and 7", "SE1: 6 did not arrive"]
        );
        assert_eq!(found(&[5, 6], &[5], 100), ["SE1: 6 was never said"]);
        let mut other = story(&[5]);
        other.get_mut(&5).unwrap().status_id = 6702;
        let altered = compare("SE1", &other, Some(&story(&[5])), 100);
        assert_eq!(altered, ["SE1: 5 was altered"]);
        let removed = compare("SE1", &story(&[1, 3]), None, 100);
        assert_eq!(removed, ["SE1: nothing between 1 and 3"]);
    }
}
