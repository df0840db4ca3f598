//! How much one client may ask, and all of them together. A client is an address, or the network of 64 bits
//! that an address of IPv6 is in.

use crate::index::NamedFile;
use ::wsus::server::{ANSWER_BYTES, Held, Memory};
use link::settings::wsus;
use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// Clients whose rate is remembered.
const MAX_CLIENTS: usize = 4096;
/// How many seconds' worth of requests may come at once.
const BURST_SECONDS: u32 = 5;
/// Who would have to wait for longer than this is told to come back.
const MOST_WAIT: Duration = Duration::from_secs(10);
/// Longest time that one piece of an answer takes, whatever the rate.
const MOST_COST: Duration = Duration::from_secs(60);
/// How long a request waits for its turn among all.
const TURN: Duration = Duration::from_secs(30);
/// Of what all clients may have, how much one may: one part in so many. Of the requests at the same time one at least.
const SHARE: u32 = 4;
/// Files that are sent to one client at the same time: half of those that are sent to all, and as many as another
/// Headwater downloads at most.
pub const FILES_AT_ONCE_OF_ONE: usize = 32;
/// Files that all downstream servers together may wish for in [`WISHES_OF`].
pub const MAX_WISHES: usize = 10_000;
/// Bytes of these files, unless it is a single one.
pub const MAX_WISHED_BYTES: u64 = 256 << 30;
/// For how long wishes are counted together.
const WISHES_OF: Duration = Duration::from_secs(60 * 60);
/// Connections of one client at a time, on each port.
pub const MAX_CONNECTIONS_OF_ONE: usize = 64;

/// What one client may have, and all together.
#[derive(Debug, Clone, Copy)]
pub struct Rates {
    /// Requests of one client in a second.
    pub requests_per_second: u32,
    /// Requests of all at the same time.
    pub requests_at_once: u32,
    /// Bytes that are sent to one client in a second.
    pub bytes_per_second: u64,
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            requests_per_second: wsus::REQUESTS_PER_SECOND,
            requests_at_once: wsus::REQUESTS_AT_ONCE,
            bytes_per_second: wsus::BYTES_PER_SECOND,
        }
    }
}

/// The limits. Cheap to clone.
#[derive(Clone)]
pub struct Limits {
    inner: Arc<Inner>,
}

struct Inner {
    per_second: u32,
    bytes_per_second: u64,
    share: usize,
    clients: Mutex<HashMap<IpAddr, Client>>,
    places: Arc<Semaphore>,
    /// The memory of all answers.
    memory: Memory,
}

/// What is remembered of a client.
struct Client {
    /// Until when what it asked has used up its rate.
    busy_until: Instant,
    /// Until when what was sent to it has used up its rate.
    sent_until: Instant,
    /// Its places among the requests at the same time.
    places: Arc<Semaphore>,
    /// Its places among the files that are sent at the same time.
    files: Arc<Semaphore>,
    /// Its part of the memory of answers.
    memory: Memory,
}

/// The turn of one request; it ends when this is dropped.
#[derive(Debug)]
pub struct Turn {
    own: Place,
    _all: OwnedSemaphorePermit,
}

/// One of the places of a client, until this is dropped.
#[derive(Debug)]
pub struct Place {
    _permit: OwnedSemaphorePermit,
    /// The memory of what takes it.
    _held: Held,
}

impl Place {
    fn new(permit: OwnedSemaphorePermit) -> Self {
        Self {
            _permit: permit,
            _held: Held::default(),
        }
    }
}

impl Turn {
    /// Ends the turn among all, and keeps the place of its client, and the memory that the answer has, while that is
    /// on its way.
    pub fn answered(self, held: Held) -> Place {
        Place {
            _held: held,
            ..self.own
        }
    }
}

impl Limits {
    /// Limits at these rates.
    pub fn new(rates: Rates) -> Self {
        let at_once = rates.requests_at_once;
        let share = (at_once / SHARE).max(1);
        Self {
            inner: Arc::new(Inner {
                per_second: rates.requests_per_second.max(1),
                bytes_per_second: rates.bytes_per_second.max(1),
                share: share as usize,
                clients: Mutex::default(),
                places: Arc::new(Semaphore::new(at_once.max(1) as usize)),
                memory: Memory::new(ANSWER_BYTES),
            }),
        }
    }

    /// Waits for the turn of a request; none where that would take too long.
    pub async fn turn(&self, address: IpAddr) -> Option<Turn> {
        let (wait, places) = self.inner.take(client(address), Instant::now())?;
        tokio::time::sleep(wait).await;
        let both = async {
            let own = places.acquire_owned().await.ok()?;
            let all = Arc::clone(&self.inner.places).acquire_owned().await.ok()?;
            Some(Turn {
                own: Place::new(own),
                _all: all,
            })
        };
        tokio::time::timeout(TURN, both).await.ok().flatten()
    }

    /// A place for a file that is sent to a client; none where it has [`FILES_AT_ONCE_OF_ONE`] already.
    pub fn file(&self, address: IpAddr) -> Option<Place> {
        let mut clients = self.inner.clients();
        let known = self
            .inner
            .known(&mut clients, client(address), Instant::now());
        let permit = Arc::clone(&known.files).try_acquire_owned().ok()?;
        Some(Place::new(permit))
    }

    /// Waits until a client may ask again, where what it asks takes no turn; whether it need not wait for too long.
    pub async fn rate(&self, address: IpAddr) -> bool {
        let Some((wait, _)) = self.inner.take(client(address), Instant::now()) else {
            return false;
        };
        tokio::time::sleep(wait).await;
        true
    }

    /// The memory that answers to a client may have.
    pub fn memory(&self, address: IpAddr) -> Memory {
        let mut clients = self.inner.clients();
        let known = self
            .inner
            .known(&mut clients, client(address), Instant::now());
        known.memory.clone()
    }

    /// Takes so many bytes, which are sent to a client when they have waited for as long as this says; none
    /// where they need not wait.
    pub fn send(&self, address: IpAddr, bytes: usize) -> Option<Duration> {
        let wait = self.inner.book(client(address), bytes, Instant::now());
        (!wait.is_zero()).then_some(wait)
    }
}

impl Inner {
    /// How long a request has to wait, and the places of its client; none where it is too long.
    fn take(&self, client: IpAddr, now: Instant) -> Option<(Duration, Arc<Semaphore>)> {
        let burst = Duration::from_secs(BURST_SECONDS.into());
        let cost = Duration::from_secs(1) / self.per_second;
        let mut clients = self.clients();
        let known = self.known(&mut clients, client, now);
        let busy_until = known.busy_until.max(now) + cost;
        let wait = (busy_until - now).saturating_sub(burst);
        if wait > MOST_WAIT {
            return None;
        }
        known.busy_until = busy_until;
        Some((wait, Arc::clone(&known.places)))
    }

    /// How long bytes to a client have to wait.
    fn book(&self, client: IpAddr, bytes: usize, now: Instant) -> Duration {
        const NANOSECONDS: u128 = 1_000_000_000;
        let burst = Duration::from_secs(BURST_SECONDS.into());
        let cost = bytes as u128 * NANOSECONDS / u128::from(self.bytes_per_second);
        let cost = Duration::from_nanos(u64::try_from(cost).unwrap_or(u64::MAX)).min(MOST_COST);
        let mut clients = self.clients();
        let known = self.known(&mut clients, client, now);
        known.sent_until = known.sent_until.max(now) + cost;
        (known.sent_until - now).saturating_sub(burst)
    }

    fn clients(&self) -> MutexGuard<'_, HashMap<IpAddr, Client>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is remembered of a client.
    fn known<'a>(
        &self,
        clients: &'a mut HashMap<IpAddr, Client>,
        client: IpAddr,
        now: Instant,
    ) -> &'a mut Client {
        if clients.len() >= MAX_CLIENTS && !clients.contains_key(&client) {
            make_room(clients, now);
        }
        clients.entry(client).or_insert_with(|| Client {
            busy_until: now,
            sent_until: now,
            places: Arc::new(Semaphore::new(self.share)),
            files: Arc::new(Semaphore::new(FILES_AT_ONCE_OF_ONE)),
            memory: self.memory.share(ANSWER_BYTES / SHARE as usize),
        })
    }
}

impl Client {
    /// Whether something is on its way to it: of these there are no more than connections.
    fn is_served(&self) -> bool {
        // Who has a place, or waits for one, holds what it is counted by.
        Arc::strong_count(&self.places) > 1 || Arc::strong_count(&self.files) > 1
    }

    /// When it is as if it had never asked.
    fn until(&self) -> Instant {
        self.busy_until.max(self.sent_until)
    }
}

/// The connections of each client on a port. Cheap to clone.
#[derive(Clone, Default)]
pub struct Connections {
    open: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// One connection of a client; it ends when this is dropped.
pub struct Connection {
    client: IpAddr,
    all: Connections,
}

impl Connections {
    /// Takes a connection in; none where its client has [`MAX_CONNECTIONS_OF_ONE`] already.
    pub fn take(&self, address: IpAddr) -> Option<Connection> {
        let client = client(address);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let held = open.entry(client).or_default();
        if *held >= MAX_CONNECTIONS_OF_ONE {
            return None;
        }
        *held += 1;
        let all = self.clone();
        Some(Connection { client, all })
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let open = self.all.open.lock();
        let mut open = open.unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = open.get_mut(&self.client) {
            *held -= 1;
            if *held == 0 {
                open.remove(&self.client);
            }
        }
    }
}

/// The files that were wished for in an hour.
#[derive(Debug, Default)]
pub struct Wishes {
    hour: Mutex<Option<Hour>>,
}

#[derive(Debug)]
struct Hour {
    began: Instant,
    files: HashSet<[u8; 20]>,
    all: Wished,
    /// What each client was the first to wish for.
    of: HashMap<Option<IpAddr>, Wished>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Wished {
    files: usize,
    bytes: u64,
}

impl Wished {
    fn and(self, more: Self) -> Self {
        Self {
            files: self.files + more.files,
            bytes: self.bytes.saturating_add(more.bytes),
        }
    }

    /// Whether it is no more than one part in so many of all that may be wished for. A single file goes, however
    /// large it is.
    fn fits(self, share: u32) -> bool {
        let most = MAX_WISHED_BYTES / u64::from(share);
        self.files <= MAX_WISHES / share as usize && (self.bytes <= most || self.files == 1)
    }
}

impl Wishes {
    /// Whether a client may wish for these too. Wishing again for what anybody wished for is free, so that whoever
    /// was told to come back for the rest gets on.
    pub fn take(&self, address: Option<IpAddr>, files: &[NamedFile]) -> bool {
        let now = Instant::now();
        let mut hour = self.hour.lock().unwrap_or_else(PoisonError::into_inner);
        let hour = match &mut *hour {
            Some(hour) if now - hour.began < WISHES_OF => hour,
            hour => hour.insert(Hour {
                began: now,
                files: HashSet::new(),
                all: Wished::default(),
                of: HashMap::new(),
            }),
        };
        let mut named = HashSet::new();
        let new = files
            .iter()
            .filter(|file| !hour.files.contains(&file.sha1) && named.insert(file.sha1));
        let more = new.fold(Wished::default(), |held, file| {
            let (files, bytes) = (1, file.bytes);
            held.and(Wished { files, bytes })
        });
        if more.files == 0 {
            return true;
        }
        let client = address.map(client);
        let own = hour.of.get(&client).copied().unwrap_or_default().and(more);
        let all = hour.all.and(more);
        if !own.fits(SHARE) || !all.fits(1) {
            return false;
        }
        hour.all = all;
        hour.of.insert(client, own);
        hour.files.extend(named);
        true
    }
}

/// Forgets who has asked nothing for a while, which is like never having asked, or else the half that asked least.
fn make_room(clients: &mut HashMap<IpAddr, Client>, now: Instant) {
    clients.retain(|_, client| client.until() > now || client.is_served());
    if clients.len() < MAX_CLIENTS {
        return;
    }
    let mut times: Vec<Instant> = clients.values().map(Client::until).collect();
    let middle = times.len() / 2;
    let (_, median, _) = times.select_nth_unstable(middle);
    let median = *median;
    clients.retain(|_, client| client.until() > median || client.is_served());
    if clients.len() >= MAX_CLIENTS {
        clients.retain(|_, client| client.is_served());
    }
}

/// Who counts as one client.
fn client(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            const NETWORK: u128 = u128::MAX << 64;
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & NETWORK))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn limits(requests_per_second: u32, requests_at_once: u32) -> Limits {
        Limits::new(Rates {
            requests_per_second,
            requests_at_once,
            ..Rates::default()
        })
    }

    fn v4(number: u32) -> IpAddr {
        IpAddr::V4(Ipv4Addr::from_bits(number))
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_waits_beyond_its_rate_and_holds_up_nobody_else() {
        let limits = limits(10, 64);
        let began = Instant::now();
        for _ in 0..50 {
            assert!(limits.turn(v4(1)).await.is_some());
        }
        assert_eq!(began.elapsed(), Duration::ZERO, "so many at once");
        for _ in 0..10 {
            assert!(limits.turn(v4(1)).await.is_some());
        }
        assert_eq!(began.elapsed(), Duration::from_secs(1));
        let other = Instant::now();
        assert!(limits.turn(v4(2)).await.is_some());
        assert_eq!(other.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn who_would_wait_for_too_long_is_told_to_come_back() {
        let limits = limits(1, 64);
        let now = Instant::now();
        let taken = (0..100).filter(|_| limits.inner.take(v4(1), now).is_some());
        assert_eq!(taken.count(), 15);
        tokio::time::advance(Duration::from_secs(3)).await;
        assert!(limits.inner.take(v4(1), Instant::now()).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn one_client_cannot_take_all_places() {
        let limits = limits(1000, 8);
        let turns = [
            limits.turn(v4(1)).await.unwrap(),
            limits.turn(v4(1)).await.unwrap(),
        ];
        assert!(limits.turn(v4(1)).await.is_none(), "waited in vain");
        assert!(limits.turn(v4(2)).await.is_some());
        // An answer that is on its way is its client's, and holds up nobody else.
        let answers = turns.map(|turn| turn.answered(Held::default()));
        assert!(limits.turn(v4(1)).await.is_none(), "answers on their way");
        assert_eq!(limits.inner.places.available_permits(), 8);
        drop(answers);
        assert!(limits.turn(v4(1)).await.is_some());
    }

    #[test]
    fn one_client_has_so_many_files_on_their_way_and_no_more() {
        let limits = limits(1, 64);
        let mut held: Vec<Place> = (0..FILES_AT_ONCE_OF_ONE)
            .filter_map(|_| limits.file(v4(1)))
            .collect();
        assert_eq!(held.len(), FILES_AT_ONCE_OF_ONE);
        assert!(limits.file(v4(1)).is_none());
        assert!(limits.file(v4(2)).is_some());
        held.pop();
        assert!(limits.file(v4(1)).is_some(), "one has ended");
    }

    #[tokio::test(start_paused = true)]
    async fn however_many_clients_come_few_are_remembered() {
        let limits = limits(1, 8);
        let now = Instant::now();
        for number in 0..100_000 {
            limits.inner.take(v4(number), now);
            limits.inner.book(v4(number + 50_000), 1 << 20, now);
        }
        assert!(limits.inner.clients.lock().unwrap().len() <= MAX_CLIENTS);
    }

    fn files(numbers: std::ops::Range<usize>, bytes: u64) -> Vec<NamedFile> {
        let file = |number: usize| {
            let mut sha1 = [0; 20];
            sha1[..8].copy_from_slice(&number.to_be_bytes());
            NamedFile { sha1, bytes }
        };
        numbers.map(file).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_files_are_wished_for_in_an_hour_and_no_more() {
        const SHARE_OF_ONE: usize = MAX_WISHES / SHARE as usize;
        let wishes = Wishes::default();
        let take = |client, numbers: std::ops::Range<usize>| {
            wishes.take(Some(v4(client)), &files(numbers, 1))
        };
        assert!(take(1, 0..SHARE_OF_ONE - 1));
        let last = SHARE_OF_ONE - 1;
        assert!(!take(1, last..last + 2));
        assert!(take(1, 0..SHARE_OF_ONE), "again is free");
        assert!(!take(1, last + 1..last + 2));
        assert!(take(2, 0..SHARE_OF_ONE), "also for who wishes for the same");
        for client in 2..5 {
            let first = SHARE_OF_ONE * (client as usize - 1);
            assert!(take(client, first..first + SHARE_OF_ONE), "{client}");
        }
        assert!(!take(5, MAX_WISHES..MAX_WISHES + 1), "of all together");
        tokio::time::advance(WISHES_OF).await;
        assert!(take(1, MAX_WISHES..MAX_WISHES + 1));
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_bytes_are_wished_for_in_an_hour_and_no_more() {
        const SHARE_OF_ONE: u64 = MAX_WISHED_BYTES / SHARE as u64;
        let wishes = Wishes::default();
        let take = |client, number, bytes| {
            wishes.take(Some(v4(client)), &files(number..number + 1, bytes))
        };
        assert!(take(1, 1, SHARE_OF_ONE - 1));
        assert!(!take(1, 2, 2));
        assert!(take(1, 3, 1));
        assert!(take(2, 4, SHARE_OF_ONE * 2), "one, however large");
        assert!(!take(2, 5, 1));
        assert!(take(3, 6, SHARE_OF_ONE));
        assert!(!take(4, 7, 1), "of all together");
        assert!(take(4, 6, SHARE_OF_ONE), "again is free");
    }

    #[tokio::test(start_paused = true)]
    async fn what_takes_no_turn_is_within_the_rate_of_its_client_too() {
        let limits = limits(10, 64);
        let began = Instant::now();
        for _ in 0..70 {
            assert!(limits.rate(v4(1)).await);
        }
        assert_eq!(began.elapsed(), Duration::from_secs(2));
        assert!(limits.rate(v4(2)).await, "others are not held up");
        assert_eq!(began.elapsed(), Duration::from_secs(2));
    }

    #[test]
    fn one_client_has_so_many_connections_and_no_more() {
        let connections = Connections::default();
        let take = |number| connections.take(v4(number));
        let mut held: Vec<Connection> = (0..MAX_CONNECTIONS_OF_ONE)
            .filter_map(|_| take(1))
            .collect();
        assert_eq!(held.len(), MAX_CONNECTIONS_OF_ONE);
        assert!(take(1).is_none());
        assert!(take(2).is_some());
        held.pop();
        assert!(take(1).is_some(), "one ended");
        held.clear();
        assert!(connections.open.lock().unwrap().is_empty());
    }

    #[test]
    fn neighbours_in_a_network_of_ipv6_are_one_client() {
        let address = |text: &str| client(text.parse().unwrap());
        assert_eq!(address("2001:db8::1"), address("2001:db8::ffff:1"));
        assert_ne!(address("2001:db8::1"), address("2001:db8:0:1::1"));
        assert_eq!(address("::ffff:192.0.2.1"), address("192.0.2.1"));
    }
}
