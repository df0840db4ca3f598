//! Numbers that follow from a seed.
//!
//! The same seed must give the same bytes for as long as the stand-in exists, because tests and
//! measurements refer to a catalog by its seed. The generators of crate `rand` are free to change their
//! streams between versions, so this is SplitMix64, written out: fifteen lines that never change.

/// SplitMix64 (Steele, Lea and Flood, 2014).
pub(super) struct Random(u64);

/// The golden ratio as a fraction of 2^64: the step of SplitMix64.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

impl Random {
    /// The stream that belongs to `path` under `seed`. Streams of different paths are unrelated, so
    /// any part of the catalog can be made without making what comes before it.
    pub(super) fn new(seed: u64, path: &[u64]) -> Self {
        let mut this = Self(seed);
        for &step in path {
            this.0 = this.next() ^ step.wrapping_mul(STEP);
        }
        this
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 to `bound` - 1; 0 where `bound` is 0.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        let wide = u128::from(self.next()) * u128::from(bound);
        u64::try_from(wide >> 64).unwrap_or(u64::MAX)
    }

    /// A number from `low` to `high`, both included.
    pub(super) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// True in `permille` of 1000 cases.
    pub(super) fn chance(&mut self, permille: u64) -> bool {
        self.below(1000) < permille
    }

    pub(super) fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        let place = usize::try_from(self.below(choices.len() as u64)).unwrap_or(0);
        &choices[place]
    }

    pub(super) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        for chunk in bytes.chunks_mut(8) {
            let word = self.next().to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
        bytes
    }

    /// 128 bits in the form of a random GUID.
    pub(super) fn guid(&mut self) -> uuid::Uuid {
        uuid::Builder::from_random_bytes(self.bytes()).into_uuid()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first numbers of the published algorithm for seed 1234567.
    #[test]
    fn the_stream_is_that_of_the_published_algorithm() {
        let mut random = Random::new(1_234_567, &[]);
        let expected = [6_457_827_717_110_365_317, 3_203_168_211_198_807_973];
        assert_eq!([random.next(), random.next()], expected);
    }

    #[test]
    fn numbers_stay_within_their_bounds() {
        let mut random = Random::new(7, &[1, 2]);
        for _ in 0..1000 {
            assert!((3..=5).contains(&random.between(3, 5)));
            assert!(random.below(10) < 10);
        }
        assert_eq!(random.below(0), 0);
    }

    #[test]
    fn another_path_gives_another_stream() {
        let first = |path: &[u64]| Random::new(1, path).next();
        assert_ne!(first(&[1, 2]), first(&[2, 1]));
        assert_ne!(first(&[0]), first(&[0, 0]));
    }
}
