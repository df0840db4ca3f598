//! Places for those who listen for as long as they like: a number of them in all, and a smaller one for each person, so
//! that nobody takes those of everybody else.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Places. Cheap to clone; clones share them.
#[derive(Debug, Clone)]
pub struct Places {
    /// How many there are.
    most: usize,
    /// How many of them one person may hold.
    most_of_one: usize,
    /// How many each person holds.
    held: Arc<Mutex<BTreeMap<String, usize>>>,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// All are taken.
    #[error("all {0} places are taken")]
    All(usize),
    /// The person holds as many as one may.
    #[error("this person holds {0} places, and may hold no more")]
    OfOne(usize),
}

/// A place that somebody holds, until this is dropped.
#[derive(Debug)]
pub struct Place {
    places: Places,
    who: String,
}

impl Places {
    /// So many places, and so many of them for one person at most.
    pub fn new(most: usize, most_of_one: usize) -> Self {
        Self {
            most,
            most_of_one,
            held: Arc::default(),
        }
    }

    fn held(&self) -> MutexGuard<'_, BTreeMap<String, usize>> {
        // Each change is one number.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place for somebody.
    ///
    /// # Errors
    /// When there is none.
    pub fn take(&self, who: &str) -> Result<Place, Full> {
        let mut held = self.held();
        if held.values().sum::<usize>() >= self.most {
            return Err(Full::All(self.most));
        }
        let own = held.entry(who.to_owned()).or_default();
        if *own >= self.most_of_one {
            return Err(Full::OfOne(self.most_of_one));
        }
        *own += 1;
        drop(held);
        Ok(Place {
            places: self.clone(),
            who: who.to_owned(),
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = self.places.held();
        if let Some(own) = held.get_mut(&self.who) {
            *own -= 1;
            if *own == 0 {
                held.remove(&self.who);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_person_leaves_places_for_others_and_gives_theirs_back() {
        let places = Places::new(5, 3);
        let mut of_one: Vec<Place> = (0..3).map(|_| places.take("ann").unwrap()).collect();
        assert_eq!(places.take("ann").unwrap_err(), Full::OfOne(3));
        let of_another: Vec<Place> = (0..2).map(|_| places.take("bob").unwrap()).collect();
        assert_eq!(places.take("cid").unwrap_err(), Full::All(5));
        of_one.pop();
        assert!(places.take("ann").is_ok());
        drop((of_one, of_another));
        assert!(places.held().is_empty(), "nothing is kept of who left");
    }

    #[test]
    fn where_one_may_hold_none_nothing_is_kept() {
        let places = Places::new(1, 1);
        let _place = places.take("ann").unwrap();
        assert!(places.take("bob").is_err());
        assert_eq!(places.held().len(), 1);
    }
}
