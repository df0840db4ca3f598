//! Who changed what.

use crate::Dashboard;
use crate::api::question;
use crate::session::Person;
use crate::words::Moment;
use settings::change::plain;
use tonic::Status;
use wire::v1::{ListSettingsVersionsRequest, SettingChange};

/// Versions that the history shows.
const VERSIONS: u32 = 50;

/// A version of the settings.
pub struct VersionRow {
    pub number: u64,
    pub at: Option<Moment>,
    pub who: String,
    pub changes: Vec<(String, String, String)>,
}

/// The newest versions.
///
/// # Errors
/// When the site does not say.
pub async fn versions(dashboard: &Dashboard, person: &Person) -> Result<Vec<VersionRow>, Status> {
    let request = question(ListSettingsVersionsRequest { limit: VERSIONS });
    let answer = person
        .api
        .settings()
        .list_settings_versions(request)
        .await?;
    let now = dashboard.ambient.now();
    let versions = answer.into_inner().versions.into_iter();
    let rows = versions.map(|version| VersionRow {
        number: version.version,
        at: Moment::of(version.time.as_ref(), now),
        who: version.who,
        changes: changes(&version.changes),
    });
    Ok(rows.collect())
}

/// Names of settings, what they were and what they are.
pub fn changes(changes: &[SettingChange]) -> Vec<(String, String, String)> {
    let value = |text: &str| {
        let value = serde_json::from_str(text).unwrap_or(serde_json::Value::Null);
        let text = plain(&value);
        if value.is_null() {
            "none".to_owned()
        } else {
            text
        }
    };
    let changes = changes.iter();
    changes
        .map(|change| (change.name.clone(), value(&change.old), value(&change.new)))
        .collect()
}
