//! A person: fulfils the wishes of a run, one after the other, each until it is done.

use super::*;
use crate::package;
use tonic::service::Interceptor;
use tonic::transport::Channel;

/// Somebody who does what is wished, one thing after another, each until it is done.
pub async fn person(shared: Shared, central: PointId) -> turmoil::Result {
    let host = shared.host(PERSON);
    // What cannot be done yet does not keep the person from what is another matter.
    let mut waits = BTreeSet::new();
    loop {
        sleep(shared.pace.look).await;
        let next = {
            let board = shared.board();
            let mut wishes = board.wishes.iter();
            wishes.find(|wish| !waits.contains(&wish.matter())).copied()
        };
        let Some(wish) = next else {
            if !waits.is_empty() {
                sleep(START_AGAIN).await;
                waits.clear();
            }
            continue;
        };
        match timeout(
            shared.pace.look * PATIENCE,
            fulfil(&shared, &host, central, wish),
        )
        .await
        {
            Ok(Ok(())) => {
                host.note(format!("did {wish:?}"));
                let mut board = shared.board();
                if let Some(at) = board.wishes.iter().position(|other| *other == wish) {
                    board.wishes.remove(at);
                }
                continue;
            }
            Ok(Err(error)) => host.note(format!("could not do {wish:?}: {error:#}")),
            Err(_) => host.note(format!("did not get an answer to {wish:?}")),
        }
        waits.insert(wish.matter());
    }
}

/// A change of settings.
fn change(set: Vec<String>) -> ChangeSettingsRequest {
    let reset = Vec::new();
    ChangeSettingsRequest {
        to: Some(To::Assignments(Assignments { set, reset })),
        ..ChangeSettingsRequest::default()
    }
}

/// A way to a top-level site, with the right to everything there.
pub(super) async fn connect(
    shared: &Shared,
    host: &Host,
    site: PointId,
) -> anyhow::Result<(Channel, impl Interceptor + Clone + use<>)> {
    let credential = shared.directory(site).join("admin-credential.json");
    let credential: serde_json::Value = serde_json::from_slice(&std::fs::read(credential)?)?;
    let word = credential["token"].as_str().unwrap_or_default();
    let pin = AccessToken::decode(word)?.authority_pin;
    let expected = None;
    let clock = host.ambient(0);
    let time = tls::time_provider(move || clock.now());
    let tls = tls::client_config(None, ServerTrust::Pin { pin, expected }, time)?;
    let url = format!("https://{}:{PORT}", host_of(site));
    let channel = dial::channel(&url, Arc::new(tls), Arc::new(host.clone())).await?;
    let bearer: tonic::metadata::MetadataValue<_> = format!("Bearer {word}").parse()?;
    let interceptor = move |mut request: Request<()>| {
        request
            .metadata_mut()
            .insert("authorization", bearer.clone());
        Ok(request)
    };
    Ok((channel, interceptor))
}

async fn fulfil(shared: &Shared, host: &Host, central: PointId, wish: Wish) -> anyhow::Result<()> {
    let (channel, interceptor) = connect(shared, host, central).await?;
    match wish {
        Wish::Invite { site, kind, parent } => {
            let mut client = HierarchyServiceClient::with_interceptor(channel, interceptor);
            let request = CreateJoinTokenRequest {
                site_code: site.to_string(),
                site_kind: kind.name().to_owned(),
                parent: parent.to_string(),
                valid_seconds: 24 * 60 * 60,
            };
            let token = match client.create_join_token(request.clone()).await {
                Ok(answer) => answer.into_inner().token,
                // It joined where it was invited before, after it was to be removed.
                Err(status) if status.code() == tonic::Code::AlreadyExists => {
                    let site_code = site.to_string();
                    client
                        .remove_site(RemoveSiteRequest {
                            site_code,
                            ..RemoveSiteRequest::default()
                        })
                        .await?;
                    client.create_join_token(request).await?.into_inner().token
                }
                // Its parent was removed for good.
                Err(status)
                    if matches!(
                        status.code(),
                        tonic::Code::NotFound | tonic::Code::FailedPrecondition
                    ) && shared.is_gone(parent) =>
                {
                    return Ok(());
                }
                Err(status) => return Err(status.into()),
            };
            // By which of its points a site synchronizes is for the register to know.
            let parent = JoinToken::decode(&token)?.parent;
            let mut board = shared.board();
            let dial = parent;
            let place = Place {
                parent,
                dial,
                token,
            };
            board.places.insert(site, place);
        }
        Wish::Sync { full } => {
            let mut client = SyncServiceClient::with_interceptor(channel, interceptor);
            client
                .start_sync(StartSyncRequest {
                    full,
                    ..StartSyncRequest::default()
                })
                .await?;
        }
        Wish::SyncSite { site } => {
            let mut client = SyncServiceClient::with_interceptor(channel, interceptor);
            let request = StartSyncRequest {
                site_code: site.to_string(),
                subtree: true,
                ..StartSyncRequest::default()
            };
            match client.start_sync(request).await {
                // It is not there, or away: it catches up by itself.
                Err(status)
                    if matches!(
                        status.code(),
                        tonic::Code::NotFound | tonic::Code::Unavailable
                    ) => {}
                started => drop(started?),
            }
        }
        Wish::Schedule { after } => {
            let at = host.ambient(0).now() + jiff::SignedDuration::from_secs(after);
            // Second, minute, hour, day, month, any weekday.
            let cron = at.strftime("%-S %-M %-H %-d %-m *");
            let request = change(vec![format!(r#"schedule.when={{"cron":"{cron}"}}"#)]);
            let mut client = SettingsServiceClient::with_interceptor(channel, interceptor);
            client.change_settings(request).await?;
            shared.board().scheduled = Some(at);
        }
        Wish::TidyUp => {
            let request = change(TIDY.map(str::to_owned).to_vec());
            let mut client =
                SettingsServiceClient::with_interceptor(channel.clone(), interceptor.clone());
            client.change_settings(request).await?;
            let mut client = CleanupServiceClient::with_interceptor(channel, interceptor);
            let request = RunCleanupRequest { dry_run: false };
            let report = client.run_cleanup(request).await?.into_inner().report;
            let report = report.unwrap_or_default();
            let left: u64 = report.tasks.iter().map(|task| task.left).sum();
            anyhow::ensure!(left == 0 && report.failure.is_empty(), "{report:?}");
        }
        Wish::Import { seed } => {
            let mut client = PackageServiceClient::with_interceptor(channel, interceptor);
            let package = package::of(seed)?;
            package::import(&mut client, package).await?;
            shared.board().imported.insert(seed);
        }
        Wish::Languages { site } => {
            let request = change(vec![format!("site.{site}.update-files=de,fr")]);
            let mut client = SettingsServiceClient::with_interceptor(channel, interceptor);
            match client.change_settings(request).await {
                // It has not joined yet, or was removed.
                Err(status) if status.code() == tonic::Code::InvalidArgument => {
                    anyhow::ensure!(shared.place(site).is_none(), "{}", status.message());
                }
                changed => drop(changed?),
            }
        }
        Wish::SwitchAfter { looks } => {
            let request = change(vec![format!("failures.switch-source-after={looks}")]);
            let mut client = SettingsServiceClient::with_interceptor(channel, interceptor);
            client.change_settings(request).await?;
        }
        Wish::Verify { site } => {
            let mut client = HierarchyServiceClient::with_interceptor(channel, interceptor);
            let site_code = site.to_string();
            client.verify_site(VerifySiteRequest { site_code }).await?;
        }
        Wish::Remove { site } => {
            let mut client = HierarchyServiceClient::with_interceptor(channel, interceptor);
            let site_code = site.to_string();
            let request = GetSourceRequest {
                site_code: site_code.clone(),
            };
            let points = match client.get_source(request).await {
                Err(status) if status.code() == tonic::Code::NotFound => Vec::new(),
                answer => answer?.into_inner().points,
            };
            let new_source = match points.as_slice() {
                [source, other, ..] if *source == site_code => other.clone(),
                _ => String::new(),
            };
            let request = RemoveSiteRequest {
                site_code,
                new_source: new_source.clone(),
                force: true,
            };
            match client.remove_site(request).await {
                // It has not joined yet, or an answer was lost.
                Err(status) if status.code() == tonic::Code::NotFound => {}
                removed => drop(removed?),
            }
            let mut board = shared.board();
            if !new_source.is_empty() {
                board.switch(new_source.parse()?);
            } else if points.len() > 1 || points.first().is_some_and(|one| *one != site.as_str()) {
                // Only the replica goes, and an answer may have been lost: the source is what the register says.
                board.switch(points[0].parse()?);
            }
            // With it go the sites below it.
            board
                .places
                .retain(|other, place| *other != site && place.parent != site);
        }
        Wish::Decide { update, decline } => {
            let mut catalog =
                CatalogServiceClient::with_interceptor(channel.clone(), interceptor.clone());
            let request = ListUpdatesRequest {
                approval: "any".to_owned(),
                page_size: LISTED,
                ..ListUpdatesRequest::default()
            };
            let list = { catalog }
                .list_updates(request)
                .await?
                .into_inner()
                .updates;
            anyhow::ensure!(!list.is_empty(), "there is no update yet");
            let update_id = list[update % list.len()].update_id.clone();
            let approval = match decline {
                true => Approval::Declined,
                false => Approval::Install,
            };
            let request = DecideUpdatesRequest {
                update_ids: vec![update_id.clone()],
                approval: approval.into(),
                accept_licence: !decline,
                ..DecideUpdatesRequest::default()
            };
            let mut client = ApprovalServiceClient::with_interceptor(channel, interceptor);
            if decline {
                // It may be done where no answer comes.
                shared.board().declined.insert(update_id.clone());
            }
            let answer = client.decide_updates(request).await?.into_inner();
            // A refusal, of an update that was withdrawn, changes nothing.
            if answer.updates[0].outcome() != DecisionOutcome::Refused {
                shared.board().decided.insert(update_id, decline);
            }
        }
        Wish::Switch { to } => {
            let mut client = HierarchyServiceClient::with_interceptor(channel, interceptor);
            let request = SwitchSourceRequest {
                site_code: to.to_string(),
                source: to.to_string(),
                // Whether it is there or not: what comes of it then has to hold, too.
                force: true,
            };
            match client.switch_source(request).await {
                // It was removed, or nobody invited it yet.
                Err(status)
                    if status.code() == tonic::Code::FailedPrecondition
                        && shared.place(to).is_none() => {}
                answer => {
                    answer?;
                    shared.board().switch(to);
                }
            }
        }
    }
    Ok(())
}
