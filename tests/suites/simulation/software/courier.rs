//! Somebody who carries packages from a hierarchy to another one that no network reaches: one errand after the other,
//! each until it is done.

use super::person::connect;
use super::*;
use crate::package;
use wire::v1::export_package_response::Message as Exported;
use wire::v1::{
    ExportPackageRequest, ExportReport, ImportPackageRequest, ImportReport, PackageFormat,
};

/// How long the courier waits until an errand is done, in looks.
const PATIENCE: u32 = 200;
/// How a refusal begins that only says in which order packages come.
const WRONG_ORDER: &str = "it is of the wrong order";
const OLDER: &str = "it is older than what is here";
/// What a refusal says where no package is known after which another one could begin.
const EVERYTHING: &str = "export everything (without --since)";
/// What precedes in it how far they were taken in.
const HELD: &str = "this site has that hierarchy up to position ";
/// What no refusal says of a package that nobody altered.
const SLANDER: [&str; 7] = [
    "altered",
    "cut off",
    "of another hierarchy",
    "took no package before",
    "by this hierarchy itself",
    "cannot be used",
    "what no catalog has",
];
/// What refusals say of packages of a history that began anew, or lost its end.
const ANEW: [&str; 2] = ["began its history anew", "does not know that one any more"];

/// After what a package begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// With everything.
    Beginning,
    /// After the package before.
    Last,
    /// After what the other hierarchy has, files among it, where the courier knows that; else with everything.
    Taken,
}

/// Something to do with packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Errand {
    /// Have one made.
    Export {
        /// After what it begins.
        since: Since,
        /// With what was decided about updates.
        approvals: bool,
        /// With update files.
        content: bool,
    },
    /// Have one taken in; refused where it does not follow what is there.
    Import {
        /// Which, in the order in which they were made.
        package: usize,
    },
}

/// A package.
struct Parcel {
    bytes: Vec<u8>,
    report: ExportReport,
    approvals: bool,
    content: bool,
    /// How often the hierarchy that made it had begun anew.
    era: u32,
}

/// What is to become of a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Taken,
    WrongOrder,
    Older,
    /// It goes on in a history that the other hierarchy does not have.
    Anew,
}

impl Parcel {
    /// At a hierarchy that has the catalog of the other one up to a position of an era; 0 is nothing.
    fn verdict(&self, era: u32, held: u64) -> Verdict {
        if self.era != era {
            match self.report.base {
                0 => Verdict::Taken,
                _ => Verdict::Anew,
            }
        } else if self.report.position < held {
            Verdict::Older
        } else if self.report.base > held {
            Verdict::WrongOrder
        } else {
            Verdict::Taken
        }
    }
}

/// How far a refusal says that packages were taken in.
fn held_by(why: &str) -> Option<u64> {
    let (_, behind) = why.rsplit_once(HELD)?;
    let digits = behind.split(|char: char| !char.is_ascii_digit()).next()?;
    digits.parse().ok()
}

/// How often what happened to packages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Made.
    pub made: u32,
    /// Taken in, as the courier was told.
    pub taken: u32,
    /// Those of them that went on from the one before.
    pub following: u32,
    /// Refused for their order.
    pub refused: u32,
    /// Imports of which it was not heard whether they were done, or that failed.
    pub broken: u32,
    /// Update files that were taken in.
    pub files: u64,
}

/// What the courier has, and was told.
pub struct Carriage {
    errands: VecDeque<Errand>,
    parcels: Vec<Arc<Parcel>>,
    /// The packages that were taken in.
    taken: BTreeSet<usize>,
    /// How far the other hierarchy has the catalog: one of these, for an answer may have been lost. 0 is nothing.
    may_hold: BTreeSet<u64>,
    /// The era of these positions.
    era: u32,
    /// How often the hierarchy that packages come from began anew.
    begun: u32,
    tally: Tally,
    /// The first answer that cannot be right.
    wrong: Option<String>,
}

impl Default for Carriage {
    fn default() -> Self {
        Self {
            errands: VecDeque::new(),
            parcels: Vec::new(),
            taken: BTreeSet::new(),
            may_hold: BTreeSet::from([0]),
            era: 0,
            begun: 0,
            tally: Tally::default(),
            wrong: None,
        }
    }
}

impl Carriage {
    /// The position up to which the other hierarchy has all, files among it.
    fn known(&self) -> Option<u64> {
        let mut parcels = self.parcels.iter().enumerate();
        let has_files =
            parcels.all(|(number, parcel)| !parcel.content || self.taken.contains(&number));
        let mut positions = self.may_hold.iter().copied();
        match (positions.next(), positions.next()) {
            (Some(position), None) if position > 0 && has_files => Some(position),
            (_, _) => None,
        }
    }

    /// A package may be taken in from now on.
    fn begins(&mut self, parcel: &Parcel) {
        let mut held = self.may_hold.iter();
        if held.any(|held| parcel.verdict(self.era, *held) == Verdict::Taken) {
            self.may_hold.insert(parcel.report.position);
        }
        self.tally.broken += 1;
    }

    fn is_wrong(&mut self, parcel: &Parcel, what: &str) {
        let ExportReport { base, position, .. } = &parcel.report;
        let held = &self.may_hold;
        let what = format!("the package after {base} up to {position}, at {held:?}: {what}");
        self.wrong.get_or_insert(what);
    }

    /// It was taken in.
    fn was_taken(&mut self, number: usize, parcel: &Parcel, report: &ImportReport) {
        let made = &parcel.report;
        if !self.may_hold.contains(&made.position) {
            self.is_wrong(parcel, "it was taken in");
        }
        let said = (report.base, report.through, report.revisions, report.files);
        let is_whole = said == (made.base, made.position, made.revisions, made.files)
            && report.refused == 0
            && report.files_taken + report.files_held + report.files_refused == made.files;
        if !is_whole {
            self.is_wrong(parcel, &format!("of {made:?} was taken {report:?}"));
        }
        self.may_hold = BTreeSet::from([made.position]);
        self.era = parcel.era;
        if report.files_refused == 0 {
            self.taken.insert(number);
        }
        self.tally.broken -= 1;
        self.tally.taken += 1;
        self.tally.following += u32::from(made.base > 0);
        self.tally.files += report.files_taken;
    }

    /// Whether it was refused for its order.
    fn was_refused(&mut self, parcel: &Parcel, why: &str) -> bool {
        let is_anew = ANEW.iter().any(|anew| why.contains(anew));
        let verdict = match (why.contains(WRONG_ORDER), why.contains(OLDER), is_anew) {
            (true, _, _) => Verdict::WrongOrder,
            (false, true, _) => Verdict::Older,
            (false, false, true) => Verdict::Anew,
            (false, false, false) => {
                if SLANDER.iter().any(|slander| why.contains(slander)) {
                    self.is_wrong(parcel, why);
                }
                return false;
            }
        };
        let named = held_by(why);
        let era = self.era;
        let fits = |held: &u64| {
            let is_named = named == Some(*held) || verdict == Verdict::Anew;
            parcel.verdict(era, *held) == verdict && is_named
        };
        let may_hold: BTreeSet<u64> = self.may_hold.iter().copied().filter(fits).collect();
        if may_hold.is_empty() {
            self.is_wrong(parcel, why);
        } else {
            self.may_hold = may_hold;
        }
        self.tally.broken -= 1;
        self.tally.refused += 1;
        if verdict == Verdict::Anew {
            // It says what to bring.
            let export = Errand::Export {
                since: Since::Beginning,
                approvals: parcel.approvals,
                content: parcel.content,
            };
            let package = self.parcels.len();
            let import = Errand::Import { package };
            self.errands.extend([export, import]);
        }
        true
    }
}

impl Shared {
    /// Sends the courier on an errand.
    pub fn errand(&self, errand: Errand) {
        self.board().carriage.errands.push_back(errand);
    }

    /// Whether the courier has done everything.
    pub fn errands_done(&self) -> bool {
        self.board().carriage.errands.is_empty()
    }

    /// How many packages were made.
    pub fn packages(&self) -> usize {
        self.board().carriage.parcels.len()
    }

    /// The positions up to which a hierarchy has the catalog of the other one, by what the courier was told.
    pub fn carried(&self) -> BTreeSet<u64> {
        self.board().carriage.may_hold.clone()
    }

    /// The first answer to the courier that cannot be right.
    pub fn wrong_answer(&self) -> Option<String> {
        self.board().carriage.wrong.clone()
    }

    /// The hierarchy that packages come from begins anew: its positions mean something else from now on.
    pub fn another_era(&self) {
        self.board().carriage.begun += 1;
    }

    /// What happened to packages.
    pub fn tally(&self) -> Tally {
        self.board().carriage.tally
    }
}

/// Somebody who carries packages from one top-level site to another.
pub async fn courier(shared: Shared, from: PointId, to: PointId) -> turmoil::Result {
    let host = shared.host(COURIER);
    loop {
        sleep(shared.pace.look).await;
        let next = shared.board().carriage.errands.front().copied();
        let Some(errand) = next else { continue };
        let doing = async {
            match errand {
                Errand::Export {
                    since,
                    approvals,
                    content,
                } => export(&shared, &host, from, since, (approvals, content)).await,
                Errand::Import { package } => import(&shared, &host, to, package).await,
            }
        };
        match timeout(shared.pace.look * PATIENCE, doing).await {
            Ok(Ok(how)) => {
                host.note(format!("did {errand:?}: {how}"));
                shared.board().carriage.errands.pop_front();
                continue;
            }
            Ok(Err(error)) => {
                let why = format!("{error:#}");
                host.note(format!("could not do {errand:?}: {why}"));
                let mut board = shared.board();
                if let Some(Errand::Export { since, .. }) = board.carriage.errands.front_mut()
                    && why.contains(EVERYTHING)
                {
                    *since = Since::Beginning;
                }
            }
            Err(_) => host.note(format!("did not get an answer to {errand:?}")),
        }
        sleep(START_AGAIN).await;
    }
}

async fn export(
    shared: &Shared,
    host: &Host,
    from: PointId,
    since: Since,
    (approvals, content): (bool, bool),
) -> anyhow::Result<String> {
    let (channel, interceptor) = connect(shared, host, from).await?;
    let mut client = PackageServiceClient::with_interceptor(channel, interceptor);
    let known = shared.board().carriage.known();
    let request = ExportPackageRequest {
        format: PackageFormat::Headwater.into(),
        since: known.filter(|_| since == Since::Taken),
        since_last: since == Since::Last,
        approvals,
        content,
        ..ExportPackageRequest::default()
    };
    let mut told = client.export_package(request).await?.into_inner();
    let mut bytes = Vec::new();
    while let Some(told) = told.message().await? {
        match told.message {
            Some(Exported::Data(data)) => bytes.extend(data),
            Some(Exported::Report(report)) => {
                anyhow::ensure!(report.bytes == bytes.len() as u64, "not all of it came");
                let range = format!("after {} up to {}", report.base, report.position);
                let carriage = &mut shared.board().carriage;
                carriage.tally.made += 1;
                let era = carriage.begun;
                carriage.parcels.push(Arc::new(Parcel {
                    bytes,
                    report,
                    approvals,
                    content,
                    era,
                }));
                return Ok(range);
            }
            Some(Exported::Progress(_)) | None => {}
        }
    }
    anyhow::bail!("no report came")
}

async fn import(
    shared: &Shared,
    host: &Host,
    to: PointId,
    package: usize,
) -> anyhow::Result<String> {
    let parcel = shared.board().carriage.parcels.get(package).cloned();
    let parcel = parcel.ok_or_else(|| anyhow::anyhow!("there is no such package"))?;
    let (channel, interceptor) = connect(shared, host, to).await?;
    let mut client = PackageServiceClient::with_interceptor(channel, interceptor);
    let request = ImportPackageRequest {
        digest: package::upload(&mut client, &parcel.bytes).await?,
        name: "updates.hwpkg".to_owned(),
        key: parcel.report.key.clone(),
        approvals: parcel.approvals,
        ..ImportPackageRequest::default()
    };
    shared.board().carriage.begins(&parcel);
    match package::take_in(&mut client, request).await {
        Ok(report) => {
            let carriage = &mut shared.board().carriage;
            carriage.was_taken(package, &parcel, &report);
            Ok(format!("taken in, {} files", report.files_taken))
        }
        Err(error) => {
            let why = format!("{error:#}");
            match shared.board().carriage.was_refused(&parcel, &why) {
                true => Ok(why),
                false => Err(error),
            }
        }
    }
}
