//! What the live view knows and what each event does to it. Pure: events go in, state and wishes come out.

use hierarchy::{Behind, Hierarchy, State, present_error};
use wire::v1::{SiteReport, StatusEntry};

/// Messages of the log pane.
pub const MOST_MESSAGES: u32 = 200;
/// Longest text that is searched for, in characters.
const MAX_SEARCH: usize = 40;
/// Sites that a page key goes on.
const PAGE: usize = 10;

/// A key, as far as it means something here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// One up.
    Up,
    /// One down.
    Down,
    /// A page up.
    PageUp,
    /// A page down.
    PageDown,
    /// To the first.
    Home,
    /// To the last.
    End,
    /// Details, or the end of a search.
    Enter,
    /// Back.
    Escape,
    /// Takes a letter of a search back.
    Backspace,
    /// A letter.
    Letter(char),
    /// Ctrl-C.
    Interrupt,
}

/// Something that happened.
#[derive(Debug)]
pub enum Event {
    /// A key was pressed.
    Key(Key),
    /// The sites are so now.
    Sites(Hierarchy),
    /// The newest messages of a site, or of all where it is empty.
    Messages(String, Vec<StatusEntry>),
    /// What became of a wish.
    Said(String),
    /// The picture has to be drawn anew: time passed, or the window has another size.
    Redraw,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Start a synchronization.
    Synchronize,
    /// Cancel the one under way.
    Cancel,
    /// Leave.
    Quit,
}

/// What the keys do now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mode {
    /// Move, and wish.
    #[default]
    Browse,
    /// Letters go into the search.
    Search,
    /// The keys are explained.
    Help,
    /// One site is shown whole.
    Details,
    /// Cancelling is asked back.
    Confirm,
}

/// The state of the view.
#[derive(Debug, Default)]
pub struct Model {
    /// The sites as they reported.
    pub hierarchy: Hierarchy,
    /// What the keys do now.
    pub mode: Mode,
    /// What is searched for.
    pub search: String,
    /// Whether the log pane shows the selected site alone.
    pub follows_selection: bool,
    /// The newest messages, the newest first.
    pub messages: Vec<StatusEntry>,
    /// What became of the last wish.
    pub said: String,
    /// Code of the selected site.
    selected: String,
}

/// How many sites are how.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All.
    pub sites: usize,
    /// Hold what the top-level site holds.
    pub current: usize,
    /// Synchronize now.
    pub running: usize,
    /// Failed, and are reached.
    pub failed: usize,
    /// Are not reached.
    pub offline: usize,
}

impl Model {
    /// The sites that are searched for, parents before their children, each with its depth.
    pub fn sites(&self) -> Vec<(usize, &SiteReport)> {
        let search = self.search.to_lowercase();
        let mut sites = self.hierarchy.in_tree_order();
        if !search.is_empty() {
            sites.retain(|(_, site)| self.words(site).to_lowercase().contains(&search));
        }
        sites
    }

    /// What a site is found by.
    fn words(&self, site: &SiteReport) -> String {
        let state = match self.hierarchy.state(site) {
            State::Offline { .. } => "offline",
            State::Never => "never",
            State::Running { .. } => "running",
            State::Completed => "completed",
            State::Failed { .. } => "failed",
            State::Cancelled => "cancelled",
            State::Other(_) => "",
        };
        format!("{} {} {state}", site.site_code, site.site_kind)
    }

    /// Where the selected site stands among [`Self::sites`].
    pub fn selected(&self, sites: &[(usize, &SiteReport)]) -> usize {
        let selected = sites
            .iter()
            .position(|(_, site)| site.site_code == self.selected);
        selected.unwrap_or(0)
    }

    /// The site whose messages are wanted; empty means all.
    pub fn wanted(&self) -> &str {
        match self.follows_selection {
            true => &self.selected,
            false => "",
        }
    }

    /// How many sites are how.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for (_, site) in self.hierarchy.in_tree_order() {
            counts.sites += 1;
            let current = self.hierarchy.behind(site) == Behind::Current;
            match self.hierarchy.state(site) {
                State::Offline { .. } => counts.offline += 1,
                State::Running { .. } => counts.running += 1,
                State::Failed { .. } => counts.failed += 1,
                State::Completed if present_error(site).is_none() => {
                    counts.current += usize::from(current);
                }
                State::Completed | State::Never | State::Cancelled | State::Other(_) => {}
            }
        }
        counts
    }

    /// Takes an event in. What is to be done because of it.
    pub fn on(&mut self, event: Event) -> Option<Wish> {
        match event {
            Event::Key(key) => return self.key(key),
            Event::Sites(hierarchy) => self.hierarchy = hierarchy,
            Event::Messages(of, messages) if of == self.wanted() => self.messages = messages,
            // Of a site that was selected before.
            Event::Messages(..) | Event::Redraw => {}
            Event::Said(said) => self.said = said,
        }
        self.keep_selection();
        None
    }

    /// A site that is gone, or not searched for, cannot be selected.
    fn keep_selection(&mut self) {
        let sites = self.sites();
        let code = sites
            .get(self.selected(&sites))
            .map(|(_, site)| site.site_code.clone());
        self.selected = code.unwrap_or_default();
    }

    fn key(&mut self, key: Key) -> Option<Wish> {
        if key == Key::Interrupt {
            return Some(Wish::Quit);
        }
        match self.mode {
            Mode::Browse => return self.browse(key),
            Mode::Search => self.type_search(key),
            Mode::Help | Mode::Details => match key {
                Key::Up | Key::Down | Key::PageUp | Key::PageDown | Key::Home | Key::End => {
                    self.go(key);
                }
                Key::Letter('q') => return Some(Wish::Quit),
                Key::Enter | Key::Escape | Key::Backspace | Key::Letter(_) | Key::Interrupt => {
                    self.mode = Mode::Browse;
                }
            },
            Mode::Confirm => {
                self.mode = Mode::Browse;
                return (key == Key::Letter('y')).then_some(Wish::Cancel);
            }
        }
        None
    }

    fn browse(&mut self, key: Key) -> Option<Wish> {
        self.said.clear();
        match key {
            Key::Up | Key::Down | Key::PageUp | Key::PageDown | Key::Home | Key::End => {
                self.go(key);
            }
            Key::Enter => self.mode = Mode::Details,
            Key::Letter('q') => return Some(Wish::Quit),
            Key::Letter('s') => return Some(Wish::Synchronize),
            Key::Letter('c') => self.mode = Mode::Confirm,
            Key::Letter('/') => self.mode = Mode::Search,
            Key::Letter('?') => self.mode = Mode::Help,
            Key::Letter('l') => self.follows_selection = !self.follows_selection,
            Key::Escape => {
                self.search.clear();
                self.keep_selection();
            }
            Key::Backspace | Key::Letter(_) | Key::Interrupt => {}
        }
        None
    }

    fn type_search(&mut self, key: Key) {
        match key {
            Key::Letter(letter) if self.search.chars().count() < MAX_SEARCH => {
                self.search.push(letter);
            }
            Key::Backspace => {
                self.search.pop();
            }
            Key::Enter => self.mode = Mode::Browse,
            Key::Escape => {
                self.search.clear();
                self.mode = Mode::Browse;
            }
            Key::Up | Key::Down | Key::PageUp | Key::PageDown | Key::Home | Key::End => {
                self.go(key);
            }
            Key::Letter(_) | Key::Interrupt => {}
        }
        self.keep_selection();
    }

    fn go(&mut self, key: Key) {
        let sites = self.sites();
        let (at, last) = (self.selected(&sites), sites.len().saturating_sub(1));
        let to = match key {
            Key::Up => at.saturating_sub(1),
            Key::Down => at + 1,
            Key::PageUp => at.saturating_sub(PAGE),
            Key::PageDown => at + PAGE,
            Key::Home => 0,
            Key::End => last,
            Key::Enter | Key::Escape | Key::Backspace | Key::Letter(_) | Key::Interrupt => at,
        };
        let code = sites
            .get(to.min(last))
            .map(|(_, site)| site.site_code.clone());
        self.selected = code.unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hierarchy::samples::{report, run, three_tiers};

    fn model() -> Model {
        let mut model = Model::default();
        assert_eq!(model.on(Event::Sites(three_tiers())), None);
        model
    }

    fn press(model: &mut Model, keys: &str) -> Option<Wish> {
        let mut wish = None;
        for key in keys.chars() {
            let key = match key {
                'v' => Key::Down,
                '^' => Key::Up,
                '$' => Key::End,
                '\n' => Key::Enter,
                '!' => Key::Escape,
                '<' => Key::Backspace,
                letter => Key::Letter(letter),
            };
            wish = model.on(Event::Key(key));
        }
        wish
    }

    fn selected(model: &Model) -> String {
        let sites = model.sites();
        let at = model.selected(&sites);
        sites[at].1.site_code.clone()
    }

    #[test]
    fn the_selection_moves_through_the_tree_and_stays_with_its_site() {
        let mut model = model();
        assert_eq!(selected(&model), "CAS");
        press(&mut model, "^vv");
        assert_eq!(selected(&model), "SE1");
        // A site that comes before it does not move it.
        let mut more = three_tiers();
        more.absorb(vec![report("AAA", "primary", "CAS")]);
        model.on(Event::Sites(more));
        assert_eq!(selected(&model), "SE1");
        press(&mut model, "$v");
        assert_eq!(selected(&model), "SE2");
        let left = Hierarchy::new(vec![report("CAS", "central", "")]);
        model.on(Event::Sites(left));
        assert_eq!(selected(&model), "CAS");
        model.on(Event::Sites(Hierarchy::default()));
        press(&mut model, "vv^$\n!");
        assert!(model.sites().is_empty());
    }

    #[test]
    fn a_search_finds_codes_kinds_and_states() {
        let mut model = model();
        press(&mut model, "/se2\n");
        assert_eq!(model.sites().len(), 1);
        assert_eq!(
            (selected(&model).as_str(), model.mode),
            ("SE2", Mode::Browse)
        );
        press(&mut model, "/<<<secondary\n");
        assert_eq!(model.sites().len(), 2);
        press(&mut model, "!");
        assert_eq!((model.sites().len(), selected(&model).as_str()), (5, "SE2"));
        // In a search the letters of wishes are letters.
        assert_eq!(press(&mut model, "/qsc"), None);
        assert_eq!(model.search, "qsc");
        assert!(model.sites().is_empty());
        press(&mut model, &"x".repeat(100));
        assert_eq!(model.search.len(), MAX_SEARCH);
    }

    #[test]
    fn wishes_are_told_and_cancelling_is_asked_back() {
        let mut model = model();
        assert_eq!(press(&mut model, "s"), Some(Wish::Synchronize));
        assert_eq!(press(&mut model, "c"), None);
        assert_eq!(press(&mut model, "n"), None);
        assert_eq!(model.mode, Mode::Browse);
        assert_eq!(press(&mut model, "cy"), Some(Wish::Cancel));
        for mode in ["", "?", "\n"] {
            assert_eq!(press(&mut model, &format!("!{mode}q")), Some(Wish::Quit));
        }
        assert_eq!(press(&mut model, "!/q"), None);
        assert_eq!(model.on(Event::Key(Key::Interrupt)), Some(Wish::Quit));
    }

    #[test]
    fn messages_of_a_site_that_is_not_looked_at_are_passed_over() {
        let mut model = model();
        assert_eq!(model.wanted(), "");
        press(&mut model, "vl");
        assert_eq!(model.wanted(), "PR1");
        let entries = || vec![StatusEntry::default()];
        model.on(Event::Messages(String::new(), entries()));
        assert!(model.messages.is_empty());
        model.on(Event::Messages("PR1".to_owned(), entries()));
        assert_eq!(model.messages.len(), 1);
    }

    #[test]
    fn sites_are_counted_by_what_they_do() {
        let mut model = model();
        let mut offline = report("SE1", "secondary", "PR1");
        offline.connected = false;
        let mut failed = report("SE2", "secondary", "PR2");
        failed.run = Some(run(2, "Failed"));
        let mut running = report("PR2", "primary", "CAS");
        running.run = Some(run(2, "SyncingUpdates"));
        model.hierarchy.absorb(vec![offline, failed, running]);
        let expected = Counts {
            sites: 5,
            current: 2,
            running: 1,
            failed: 1,
            offline: 1,
        };
        assert_eq!(model.counts(), expected);
    }
}
