//! Importing: what was uploaded is read as a whole, and taken in as a run. One package at a time.

use super::check::{Checked, Question, check};
use super::import_files::{FilesReport, Shelf};
use super::origin::Allowed;
use super::take_in::{Taken, Taking};
use super::{Error, Progress, Spool};
use crate::handed::{Outcome, Work};
use crate::in_force::InForce;
use crate::ingest::{ImportedUpdates, UpdateWanted, WsusUpstream};
use catalog::Problem;
use journal::{Journal, StatusId};
use settings::Settings;
use settings::languages::Sites;
use settings::roll_out::RollOut;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use store::packages::PackageSource;
use sync::EngineHandle;
use sync::upstream::with_causes;
use tokio::sync::{Mutex, MutexGuard};
use tokio_util::sync::CancellationToken;
use trust::StatementPublicKey;
use uuid::Uuid;

/// How often it is looked for packages that nobody came back for.
const TIDY: Duration = Duration::from_secs(60 * 60);

/// What an import needs of the site.
#[derive(Clone)]
pub struct Parts {
    /// What takes it in.
    pub upstream: Arc<WsusUpstream>,
    /// What does runs.
    pub engine: EngineHandle,
    /// What is told.
    pub journal: Journal,
    /// The settings.
    pub settings: InForce,
}

/// What is asked of an import.
#[derive(Debug, Clone, Default)]
pub struct Order {
    /// BLAKE3 of the file.
    pub digest: [u8; 32],
    /// What people call it.
    pub name: String,
    /// What a person allowed.
    pub allowed: Allowed,
    /// Whether approvals are taken over.
    pub approvals: bool,
    /// Whether settings are taken over.
    pub settings: bool,
    /// Whether update files in it stay outside.
    pub without_content: bool,
    /// Only say what would be done.
    pub dry_run: bool,
}

/// What an import did, or would do.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// `wsusutil` or `headwater`.
    pub format: &'static str,
    /// Where it comes from.
    pub origin: String,
    /// Revisions in it.
    pub revisions: u64,
    /// What was done with them.
    pub(crate) taken: Taken,
    /// What was done with the update files in it.
    pub files: FilesReport,
    /// Version of the settings that was made.
    pub settings_version: u64,
    /// Whether it was only looked at.
    pub dry_run: bool,
    /// The run that took it in.
    pub run: Option<Uuid>,
    /// Whether everything is in it.
    pub full: bool,
    /// Positions of the other hierarchy: after which it begins, and how far it goes.
    pub range: (u64, u64),
    /// The key that signed it.
    pub key: String,
    /// What a person should know.
    pub remarks: Vec<String>,
}

/// The packages of a top-level site. Cheap to clone.
#[derive(Clone)]
pub struct Packages {
    parts: Parts,
    spool: Spool,
    /// One at a time.
    turn: Arc<Mutex<()>>,
}

impl Packages {
    /// Those of a site with this data directory.
    pub fn new(parts: Parts, data_dir: &Path) -> Self {
        Self {
            parts,
            spool: Spool::new(data_dir),
            turn: Arc::default(),
        }
    }

    pub(super) fn upstream(&self) -> &WsusUpstream {
        &self.parts.upstream
    }

    /// The content of the site, where it has any.
    pub(super) fn content(&self) -> Option<&content::Content> {
        let files = self.parts.upstream.files.get()?;
        Some(&files.content)
    }

    /// What says which files the site needs.
    pub(super) fn planner(&self) -> Option<&content::plan::Planner> {
        let files = self.parts.upstream.files.get()?;
        Some(&files.planner)
    }

    fn shelf(&self) -> Option<Shelf<'_>> {
        let upstream = self.upstream();
        Some(Shelf {
            store: &upstream.store,
            planner: self.planner()?,
            content: self.content()?,
            ambient: &upstream.ambient,
        })
    }

    pub(super) fn journal(&self) -> &Journal {
        &self.parts.journal
    }

    pub(super) fn take_turn(&self) -> Result<MutexGuard<'_, ()>, Error> {
        self.turn.try_lock().map_err(|_| Error::Busy)
    }

    pub(super) fn spool(&self) -> &Spool {
        &self.spool
    }

    /// The hierarchy of this site.
    pub(super) fn hierarchy(&self) -> Uuid {
        self.parts.upstream.publisher.authority.hierarchy().0
    }

    /// Removes now and then what nobody came back for.
    pub async fn keep_tidy(self, stop: CancellationToken) {
        loop {
            self.tidy();
            tokio::select! {
                () = tokio::time::sleep(TIDY) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    fn tidy(&self) {
        if let Err(error) = self.spool.tidy(self.parts.upstream.ambient.now()) {
            tracing::warn!(%error, "the spool of packages was not tidied up");
        }
    }

    /// Makes room for a package; how much of it is here.
    ///
    /// # Errors
    /// When there is no room, or another one is being imported.
    pub async fn offer(&self, digest: [u8; 32], size: u64) -> Result<u64, Error> {
        let _turn = self.take_turn()?;
        self.tidy();
        let (spool, ambient) = (self.spool.clone(), self.parts.upstream.ambient.clone());
        blocking(move || spool.offer(&digest, size, &ambient)).await
    }

    /// Adds bytes of the package that was offered; how much of it is here.
    ///
    /// # Errors
    /// When they do not follow what is here.
    pub async fn append(&self, digest: [u8; 32], at: u64, data: Vec<u8>) -> Result<u64, Error> {
        let spool = self.spool.clone();
        blocking(move || spool.append(&digest, at, &data)).await
    }

    /// Imports an uploaded package. It is gone afterwards, unless it was only looked at, or is not here as a whole.
    ///
    /// # Errors
    /// Why it is not taken. The catalog is as it was, but where the error is about files ([`Error::Files`]): these are
    /// taken in behind it.
    pub async fn import(
        &self,
        who: &str,
        order: Order,
        progress: Arc<Progress<'static>>,
    ) -> Result<Report, Error> {
        let _turn = self.take_turn()?;
        let (digest, name, dry_run) = (order.digest, order.name.clone(), order.dry_run);
        let imported = Box::pin(self.import_alone(who, order, progress)).await;
        let lacks_bytes = matches!(imported, Err(Error::Gap { .. } | Error::NotOffered));
        // What only has to be allowed is asked for again at once, and need not be uploaded again.
        let waits = matches!(
            imported,
            Err(Error::Unsigned | Error::UnknownKey { .. } | Error::OtherHierarchy { .. })
        );
        // The same holds for files that are still to come, and for what waits for room.
        let waits = waits
            || matches!(
                imported,
                Err(Error::Files { .. } | Error::NoRoomForFiles { .. })
            );
        if !dry_run && !lacks_bytes && !waits {
            // What becomes of the import does not depend on it: the file goes after a day.
            if let Err(error) = self.spool.remove(&digest) {
                tracing::warn!(%error, "an imported package was not removed from the spool");
            }
        }
        if let Err(error) = &imported
            && !lacks_bytes
        {
            let inserts = vec![Problem::new(&name).to_string(), with_causes(error)];
            let id = if matches!(error, Error::Files { .. }) {
                StatusId::PackageFilesRefused
            } else {
                StatusId::PackageRefused
            };
            self.journal().record(id, None, inserts).await;
        }
        imported
    }

    async fn import_alone(
        &self,
        who: &str,
        order: Order,
        progress: Arc<Progress<'static>>,
    ) -> Result<Report, Error> {
        let upstream = self.upstream();
        let before = upstream.store.read().await?.package_source().await?;
        let Order {
            digest,
            name,
            allowed,
            approvals,
            settings,
            without_content,
            dry_run,
        } = order;
        let who_made = |source: &PackageSource| (source.hierarchy, source.key);
        let made_before = before.as_ref().map(who_made);
        let shown = Arc::clone(&progress);
        let (spool, own, now) = (self.spool.clone(), self.hierarchy(), upstream.ambient.now());
        let checked: Checked = blocking(move || {
            let file = spool.whole(&digest)?;
            let question = Question {
                own,
                held: before.as_ref(),
                allowed,
                approvals,
                settings,
                now,
            };
            check(&file, spool.folder()?, &question, &*shown)
        })
        .await?;
        let manifest = checked.manifest.as_ref();
        let mut report = Report {
            format: if manifest.is_some() {
                "headwater"
            } else {
                "wsusutil"
            },
            origin: checked.origin.clone(),
            revisions: checked.revisions,
            dry_run,
            full: manifest.is_none_or(super::manifest::Manifest::is_full),
            range: manifest.map_or((0, 0), |manifest| (manifest.base, manifest.position)),
            key: manifest
                .map(|manifest| manifest.key.clone())
                .unwrap_or_default(),
            remarks: checked.remarks,
            ..Report::default()
        };
        let mut files = None;
        match (checked.files, self.shelf()) {
            (None, _) => {}
            (Some(_), _) if without_content => {
                report
                    .remarks
                    .push("The update files in it were left".to_owned());
            }
            (Some(_), None) => {
                let remark = "The update files in it were left: this site keeps none".to_owned();
                report.remarks.push(remark);
            }
            (Some(carried), Some(shelf)) => {
                report.files = shelf.look(&carried.list).await?;
                files = Some((carried, shelf));
            }
        }
        let made = checked.source.as_ref().map(who_made);
        let new_source = made.filter(|made| made_before.as_ref() != Some(made));
        let mut taking = Taking {
            staged: checked.staged,
            source: checked.source,
            full: report.full,
            name: name.clone(),
        };
        if dry_run {
            report.taken = taking.plan(upstream).await?.taken;
            if let Some(settings) = checked.settings {
                self.take_settings(who, settings, true, &mut report).await;
            }
            return Ok(report);
        }
        let work = Work::Package(Box::new(taking));
        let (run, outcome) = upstream.hand_in(&self.parts.engine, work).await?;
        // Nobody begins to fetch what is to be taken in.
        let files = files.map(|(carried, shelf)| (carried, shelf.content.hold(), shelf));
        report.run = Some(run);
        if let Outcome::Package(taken) = outcome {
            report.taken = taken;
        }
        let inserts = vec![
            Problem::new(&name).to_string(),
            report.revisions.to_string(),
        ];
        self.journal()
            .record(StatusId::PackageImported, Some(run), inserts)
            .await;
        if let Some((hierarchy, key)) = new_source {
            let key = StatementPublicKey(key).to_string();
            let inserts = vec![hierarchy.to_string(), key, who.to_owned()];
            self.journal()
                .record(StatusId::PackageSourceTaken, Some(run), inserts)
                .await;
        }
        if let Some(settings) = checked.settings {
            self.take_settings(who, settings, false, &mut report).await;
        }
        if let Some((carried, hold, shelf)) = files {
            shelf
                .take_in(carried, &hold, &mut report.files, &progress)
                .await?;
            self.tell_of_files(&name, run, &mut report).await;
        }
        let updates = upstream.lacks_licence_terms(self.journal(), run).await;
        if updates > 0 {
            report.remarks.push(format!(
                "The texts of the license terms of {updates} updates are not here yet: take in a package with them \
                 (export --licence-terms), or let them be fetched"
            ));
        }
        Ok(report)
    }

    async fn tell_of_files(&self, name: &str, run: Uuid, report: &mut Report) {
        let files = &report.files;
        let name = Problem::new(name).to_string();
        let numbers = [files.taken, files.taken_bytes, files.held];
        let inserts = std::iter::once(name.clone()).chain(numbers.map(|number| number.to_string()));
        let id = StatusId::PackageFilesTaken;
        self.journal()
            .record(id, Some(run), inserts.collect())
            .await;
        if files.refused > 0 {
            let first = files.why.first().cloned().unwrap_or_default();
            let inserts = vec![name, format!("{} of them. {first}", files.refused)];
            let id = StatusId::PackageFilesRefused;
            self.journal().record(id, Some(run), inserts).await;
        }
        let why = std::mem::take(&mut report.files.why);
        report.remarks.extend(why);
    }

    /// Makes a version of the settings of those in a package. What is this site's alone stays; so do settings that
    /// name sites, which are others here. That they cannot be used undoes nothing of the import.
    async fn take_settings(&self, who: &str, from: RollOut, dry_run: bool, report: &mut Report) {
        let merged = |held: &Settings, _: &Sites| {
            Ok(Settings {
                source: held.source.clone(),
                proxy: held.proxy.clone(),
                schedule: held.schedule.clone(),
                notifications: held.notifications.clone(),
                languages: held.languages.clone(),
                site: held.site.clone(),
                ..from.settings
            })
        };
        match self.parts.settings.change(who, None, dry_run, merged).await {
            Ok(outcome) if outcome.changes.is_empty() => {
                report
                    .remarks
                    .push("The settings in it are those in force".to_owned());
            }
            Ok(outcome) => {
                report.settings_version = outcome.version;
                let changes = outcome.changes.iter().map(ToString::to_string);
                report.remarks.extend(changes);
            }
            Err(error) => report
                .remarks
                .push(format!("The settings in it were not taken over: {error}")),
        }
    }

    /// Fetches single updates from the synchronization source, as a run: which it was, and what came.
    ///
    /// # Errors
    /// When this site has no source, none of the updates was to be had, or the database fails.
    pub async fn import_updates(
        &self,
        wanted: Vec<UpdateWanted>,
    ) -> Result<(Uuid, ImportedUpdates), Error> {
        let work = Work::Updates(wanted);
        let (run, outcome) = self.upstream().hand_in(&self.parts.engine, work).await?;
        match outcome {
            Outcome::Updates(imported) => Ok((run, imported)),
            Outcome::Package(_) => Err(Error::Cancelled),
        }
    }
}

/// Does what waits for the disk beside everything else.
#[cfg(not(feature = "simulation"))]
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or(Err(Error::Cancelled))
}

/// Does it here: simulated time stands still meanwhile.
#[cfg(feature = "simulation")]
#[expect(clippy::unused_async, reason = "its other form waits for a thread")]
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    work()
}
