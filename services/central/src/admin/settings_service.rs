//! The settings of the hierarchy: reading them, changing them, their history, and the secrets beside them.

mod categories;

use super::{Admin, internal};
use crate::in_force::{Error, Version};
use crate::secrets::{NoSuchSecret, Secret};
use catalog::SiteCode;
use journal::StatusId;
use secrecy::SecretString;
use settings::Settings;
use settings::change::{Assignment, Change, difference};
use settings::languages::Sites;
use tonic::{Request, Response, Status};
use trust::Role;
use wire::convert;
use wire::v1::change_settings_request::To;
use wire::v1::settings_service_server::SettingsService;
use wire::v1::{
    ChangeSettingsRequest, ChangeSettingsResponse, GetSettingsRequest, GetSettingsResponse,
    ListCategoriesRequest, ListCategoriesResponse, ListSettingsVersionsRequest,
    ListSettingsVersionsResponse, SetSecretRequest, SetSecretResponse, SettingChange,
    SettingsVersion,
};

/// Versions that are listed at once.
const MOST_VERSIONS: u32 = 100;
/// Largest document, in bytes, and longest list of changes.
const MOST_DOCUMENT: usize = 1 << 20;
const MOST_CHANGES: usize = 200;

fn told(error: Error) -> Status {
    let text = error.to_string();
    match error {
        Error::Conflict { .. } => Status::aborted(text),
        Error::Refused(_) => Status::invalid_argument(text),
        Error::NoVersion(_) => Status::not_found(text),
        Error::Unreadable { .. } => Status::failed_precondition(text),
        Error::Store(error) => internal(error),
    }
}

fn encoded(changes: Vec<Change>) -> Vec<SettingChange> {
    let json = |value: Option<serde_json::Value>| value.map_or_else(String::new, |v| v.to_string());
    changes
        .into_iter()
        .map(|change| SettingChange {
            name: change.name,
            old: json(change.old),
            new: json(change.new),
        })
        .collect()
}

/// The settings that a request asks for, made of those in force, and sites that are gone, of which an earlier version
/// says more than they.
fn asked(
    to: &To,
    held: &Settings,
    (earlier, sites): (Option<Settings>, &Sites),
) -> Result<(Settings, Vec<SiteCode>), Error> {
    let refused = |error: settings::change::ChangeError| Error::Refused(error.to_string());
    match to {
        To::Document(document) => Ok((Settings::from_json(document).map_err(refused)?, Vec::new())),
        To::Version(number) => {
            let mut settings = earlier.ok_or(Error::NoVersion(*number))?;
            let gone = settings.leave_out_gone(held, sites);
            Ok((settings, gone))
        }
        To::Assignments(assignments) => {
            let set: Result<Vec<Assignment>, _> =
                assignments.set.iter().map(|text| text.parse()).collect();
            let mut all = set.map_err(refused)?;
            all.extend(assignments.reset.iter().map(|name| Assignment::reset(name)));
            Ok((held.with(&all).map_err(refused)?, Vec::new()))
        }
    }
}

/// Refuses what is larger than anybody means, before any work is done for it.
fn within_bounds(to: &To) -> Result<(), Status> {
    let fine = match to {
        To::Document(document) => document.len() <= MOST_DOCUMENT,
        To::Assignments(assignments) => {
            let all = assignments.set.iter().chain(&assignments.reset);
            let bytes: usize = all.map(String::len).sum();
            let changes = assignments.set.len() + assignments.reset.len();
            changes <= MOST_CHANGES && bytes <= MOST_DOCUMENT
        }
        To::Version(_) => true,
    };
    if fine {
        return Ok(());
    }
    Err(Status::invalid_argument(format!(
        "that is too much at once: {MOST_CHANGES} changes, and 1 MiB, at most"
    )))
}

#[tonic::async_trait]
impl SettingsService for Admin {
    async fn get_settings(
        &self,
        request: Request<GetSettingsRequest>,
    ) -> Result<Response<GetSettingsResponse>, Status> {
        self.authorize(&request, Role::Viewer).await?;
        let request = request.into_inner();
        let site = convert::optional_site_code("site_code", &request.site_code)?;
        let effective = match site {
            Some(site) => self.reading.effective(site)?,
            None => Vec::new(),
        };
        let number = Some(request.version).filter(|number| *number != 0);
        let version = self.settings.version(number).await.map_err(told)?;
        let secrets = async {
            let mut read = self.site.store.read().await?;
            let mut held = Vec::new();
            for secret in Secret::ALL {
                if read.secret(secret.name()).await?.is_some() {
                    held.push(secret.name().to_owned());
                }
            }
            Ok(held)
        };
        let secrets = secrets.await.map_err(internal)?;
        Ok(Response::new(GetSettingsResponse {
            version: version.number,
            time: version.time.map(convert::from_timestamp),
            who: version.who,
            document: version.settings.to_json(),
            secrets,
            fixed: self
                .settings
                .fixed()
                .names()
                .iter()
                .map(|n| (*n).to_owned())
                .collect(),
            role: self.reading.role(),
            effective,
        }))
    }

    async fn change_settings(
        &self,
        request: Request<ChangeSettingsRequest>,
    ) -> Result<Response<ChangeSettingsResponse>, Status> {
        let caller = self.authorize(&request, Role::Administrator).await?;
        let request = request.into_inner();
        let to = request
            .to
            .ok_or_else(|| Status::invalid_argument("say what the settings are to be"))?;
        within_bounds(&to)?;
        let earlier = match to {
            To::Version(number) => Some(
                self.settings
                    .version(Some(number))
                    .await
                    .map_err(told)?
                    .settings,
            ),
            To::Document(_) | To::Assignments(_) => None,
        };
        let to = match to {
            To::Assignments(assignments) => To::Assignments(self.by_identifier(assignments).await?),
            To::Document(_) | To::Version(_) => to,
        };
        let expected = match (request.expected_version, request.expects_version) {
            (0, false) => None,
            (version, _) => Some(version),
        };
        let settings = self.settings.clone();
        // To its end, also where the caller does not wait: it is in the journal then.
        let change = async move {
            let mut gone = Vec::new();
            let outcome =
                settings.change(&caller.name, expected, request.dry_run, |held, sites| {
                    let (settings, left_out) = asked(&to, held, (earlier, sites))?;
                    gone = left_out;
                    Ok(settings)
                });
            let outcome = outcome.await.map_err(told)?;
            Ok((outcome, gone))
        };
        let (outcome, gone) = self.admission.to_the_end(change).await?;
        let mut consequences = outcome.consequences;
        if !gone.is_empty() {
            let gone: Vec<String> = gone.iter().map(SiteCode::to_string).collect();
            consequences.push(format!(
                "What that version sets for {} is left out: there is no such site any more.",
                gone.join(", ")
            ));
        }
        let preview = match request.dry_run {
            true => {
                self.preview(&outcome.changes, &outcome.settings, &mut consequences)
                    .await
            }
            false => None,
        };
        Ok(Response::new(ChangeSettingsResponse {
            preview,
            version: outcome.version,
            changes: encoded(outcome.changes),
            consequences,
        }))
    }

    async fn list_settings_versions(
        &self,
        request: Request<ListSettingsVersionsRequest>,
    ) -> Result<Response<ListSettingsVersionsResponse>, Status> {
        self.authorize(&request, Role::Viewer).await?;
        let limit = request.get_ref().limit.clamp(1, MOST_VERSIONS);
        // One more, for what the last one changed.
        let versions = self.settings.versions(limit + 1).await.map_err(told)?;
        let listed = versions.iter().take(limit as usize).enumerate();
        let versions = listed
            .map(|(place, version)| SettingsVersion {
                version: version.number,
                time: version.time.map(convert::from_timestamp),
                who: version.who.clone(),
                changes: changed(version, versions.get(place + 1)),
            })
            .collect();
        Ok(Response::new(ListSettingsVersionsResponse { versions }))
    }

    async fn list_categories(
        &self,
        request: Request<ListCategoriesRequest>,
    ) -> Result<Response<ListCategoriesResponse>, Status> {
        self.authorize(&request, Role::Viewer).await?;
        Ok(Response::new(self.categories().await?))
    }

    async fn set_secret(
        &self,
        request: Request<SetSecretRequest>,
    ) -> Result<Response<SetSecretResponse>, Status> {
        let caller = self.authorize(&request, Role::Administrator).await?;
        let SetSecretRequest { name, secret } = request.into_inner();
        let kind: Secret = name
            .parse()
            .map_err(|error: NoSuchSecret| Status::not_found(error.to_string()))?;
        let secret = SecretString::from(secret);
        let given_up = secrecy::ExposeSecret::expose_secret(&secret).is_empty();
        let sealed = if given_up {
            None
        } else {
            let held = self.settings.version(None).await.map_err(told)?;
            let Some(place) = kind.place(&held.settings) else {
                return Err(Status::failed_precondition(kind.needs()));
            };
            let sealed = self.sealer.seal(&place, &secret);
            Some(sealed.map_err(|error| Status::invalid_argument(error.to_string()))?)
        };
        let site = self.site.clone();
        let keep = async move {
            let stored = async {
                let mut tx = site.store.begin().await?;
                tx.put_secret(&name, sealed.as_deref()).await?;
                let done = if given_up { "given up" } else { "set" };
                let inserts = vec![name, done.to_owned(), caller.name];
                let message = vec![(StatusId::SecretChanged, inserts)];
                let recorded = site.journal.record_within(&mut tx, message).await?;
                tx.commit().await?;
                Ok(recorded)
            };
            let recorded = stored.await.map_err(internal)?;
            site.journal.tell(recorded);
            Ok(())
        };
        self.admission.to_the_end(keep).await?;
        Ok(Response::new(SetSecretResponse {}))
    }
}

/// What a version changed against the one before, where that is known.
fn changed(version: &Version, before: Option<&Version>) -> Vec<SettingChange> {
    let defaults = Settings::default();
    let before = match before {
        Some(before) => &before.settings,
        None if version.number == 1 => &defaults,
        None => return Vec::new(),
    };
    encoded(difference(before, &version.settings))
}
