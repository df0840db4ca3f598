//! Looking at a hierarchy through its central site, and waiting for what it shows.

use super::{CENTRAL, Hierarchy};
use crate::patience::{LONG, until};
use ctl::connection::{Client, ConnectionArgs, Environment, question};
use std::collections::BTreeMap;
use wire::v1::{
    ListSitesRequest, ListStatusMessagesRequest, SiteReport, StartSyncRequest, StatusEntry,
};

/// Status messages that are asked for: all that a test can make.
const MOST_MESSAGES: u32 = 5000;

impl Hierarchy {
    /// A connection to the admin API of the central site, with its administrator's credential.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn client(&self) -> Result<Client, String> {
        let arguments = ConnectionArgs {
            data_dir: Some(self.data_dir(CENTRAL)),
            ..ConnectionArgs::default()
        };
        let target = arguments.target(&Environment::default());
        let target = target.map_err(|error| error.to_string())?;
        Client::connect(&target)
            .await
            .map_err(|error| format!("{error:#}"))
    }

    /// The reports of all sites, by code.
    ///
    /// # Errors
    /// When the central site does not answer.
    pub async fn sites(&self) -> Result<BTreeMap<String, SiteReport>, String> {
        let client = self.client().await?;
        let answer = client
            .hierarchy()
            .list_sites(question(ListSitesRequest {}))
            .await;
        let sites = answer
            .map_err(|status| status.to_string())?
            .into_inner()
            .sites;
        Ok(sites
            .into_iter()
            .map(|site| (site.site_code.clone(), site))
            .collect())
    }

    /// The report of a site.
    ///
    /// # Errors
    /// When the central site does not answer, or has none.
    pub async fn site(&self, code: &str) -> Result<SiteReport, String> {
        let site = self.sites().await?.remove(code);
        site.ok_or_else(|| format!("there is no report of {code}"))
    }

    /// Status messages, of one site or of all, the oldest first.
    ///
    /// # Errors
    /// When the central site does not answer.
    pub async fn messages(&self, code: &str) -> Result<Vec<StatusEntry>, String> {
        let request = question(ListStatusMessagesRequest {
            site_code: code.to_owned(),
            limit: MOST_MESSAGES,
            ..ListStatusMessagesRequest::default()
        });
        let answer = self
            .client()
            .await?
            .journal()
            .list_status_messages(request)
            .await;
        let mut messages = answer
            .map_err(|status| status.to_string())?
            .into_inner()
            .messages;
        messages.reverse();
        Ok(messages)
    }

    /// Waits for a status message of a site that holds all of `parts`; its text.
    pub async fn message(&self, code: &str, id: u32, parts: &[&str]) -> String {
        let what = format!("message {id} of {code} with {parts:?}");
        until(&what, LONG, || async move {
            let messages = self.messages(code).await?;
            let texts: Vec<_> = messages
                .into_iter()
                .filter(|entry| entry.message.as_ref().is_some_and(|m| m.status_id == id))
                .map(|entry| entry.text)
                .collect();
            let found = texts
                .iter()
                .find(|text| parts.iter().all(|part| text.contains(part)));
            found.cloned().ok_or_else(|| format!("{texts:?}"))
        })
        .await
    }

    /// Waits until a site is attached to its parent.
    pub async fn attached(&self, code: &str) {
        until(&format!("{code} is attached"), LONG, || async move {
            let site = self.site(code).await?;
            site.connected.then_some(()).ok_or("it is not".to_owned())
        })
        .await;
    }

    /// Asks for a synchronization of the whole hierarchy; the run's identifier.
    ///
    /// # Panics
    /// When the central site refuses.
    pub async fn request_sync(&self) -> Vec<u8> {
        let client = self.client().await.expect("the central site");
        let request = question(StartSyncRequest {
            full: false,
            ..StartSyncRequest::default()
        });
        let answer = client.sync().start_sync(request).await;
        answer.expect("a run").into_inner().run
    }

    /// Synchronizes, and waits until every site has what the central site has; its report.
    pub async fn synchronize(&self) -> SiteReport {
        let run = self.request_sync().await;
        self.converged(&run).await
    }

    /// Waits until a run of the central site is complete and every site has what it has; the central
    /// site's report.
    pub async fn converged(&self, run: &[u8]) -> SiteReport {
        self.converged_without(run, &[]).await
    }

    /// The same, where some sites are away.
    pub async fn converged_without(&self, run: &[u8], away: &[&str]) -> SiteReport {
        until(
            "every site has what the central site has",
            LONG,
            || async move {
                let mut sites = self.sites().await?;
                sites.retain(|code, _| !away.contains(&code.as_str()));
                let central = sites.get(CENTRAL).ok_or("the central site has no report")?;
                let held = central.run.as_ref().ok_or("it has no run")?;
                if held.id != run || held.state != "Completed" {
                    return Err(format!(
                        "the central site is at {}: {}",
                        held.state, held.error
                    ));
                }
                for (code, site) in &sites {
                    let state = site.run.as_ref().map_or("no run", |run| run.state.as_str());
                    let current = site.connected
                        && state == "Completed"
                        && site.verified_position == central.verified_position
                        && site.position == central.position
                        && site.root == central.root
                        && site.epoch == central.epoch;
                    if !current {
                        return Err(format!(
                            "{code}: {state}, position {} of {}, connected: {}, {}",
                            site.verified_position,
                            central.verified_position,
                            site.connected,
                            site.last_error
                        ));
                    }
                }
                Ok(central.clone())
            },
        )
        .await
    }
}
