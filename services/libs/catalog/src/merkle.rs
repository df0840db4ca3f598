//! The Merkle tree over the live items of a catalog: 65,536 buckets, 256 inner nodes, one root
//! (DESIGN section 3). Two catalogs with the same root hold the same items.

use crate::item::{BUCKETS, Digest};
use std::sync::Arc;

/// Inner nodes, each over [`BUCKETS_PER_NODE`] buckets.
pub const NODES: usize = 256;
/// Buckets below an inner node: the second byte of a bucket's number, the first names the node.
pub const BUCKETS_PER_NODE: usize = BUCKETS / NODES;

/// What an empty bucket, and an inner node over empty buckets alone, is digested to.
pub const EMPTY: Digest = [0; 32];

/// The digest of a bucket, from its items in the order of their keys.
#[derive(Debug)]
pub struct BucketHasher {
    hasher: blake3::Hasher,
    items: u64,
}

impl Default for BucketHasher {
    fn default() -> Self {
        Self::new()
    }
}

impl BucketHasher {
    /// A hasher that has seen no item.
    pub fn new() -> Self {
        Self {
            hasher: blake3::Hasher::new(),
            items: 0,
        }
    }

    /// Adds the next item. Items have to come in the order of their keys.
    pub fn item(&mut self, key: &[u8], digest: &Digest) {
        self.hasher.update(&(key.len() as u64).to_le_bytes());
        self.hasher.update(key);
        self.hasher.update(digest);
        self.items += 1;
    }

    /// The bucket's digest, and how many items it holds. The hasher is as new afterwards.
    pub fn finish(&mut self) -> (Digest, u64) {
        let items = std::mem::take(&mut self.items);
        if items == 0 {
            return (EMPTY, 0);
        }
        let digest = *self.hasher.finalize().as_bytes();
        self.hasher.reset();
        (digest, items)
    }
}

/// The tree's digests in memory: 2 MB, whatever the size of the catalog. A copy costs as much as is
/// changed in it.
#[derive(Debug, Clone)]
pub struct Tree {
    /// The buckets below each inner node.
    buckets: Vec<Arc<[Digest; BUCKETS_PER_NODE]>>,
    nodes: Vec<Digest>,
    changed_nodes: Vec<bool>,
}

impl Default for Tree {
    fn default() -> Self {
        Self::new()
    }
}

impl Tree {
    /// The tree of an empty catalog.
    pub fn new() -> Self {
        let empty = Arc::new([EMPTY; BUCKETS_PER_NODE]);
        Self {
            buckets: (0..NODES).map(|_| Arc::clone(&empty)).collect(),
            nodes: vec![EMPTY; NODES],
            changed_nodes: vec![false; NODES],
        }
    }

    /// The digest of a bucket.
    pub fn bucket(&self, bucket: u16) -> &Digest {
        let [node, number] = bucket.to_be_bytes();
        &self.buckets[usize::from(node)][usize::from(number)]
    }

    /// Puts a bucket's digest in its place.
    pub fn set_bucket(&mut self, bucket: u16, digest: Digest) {
        if *self.bucket(bucket) != digest {
            let [node, number] = bucket.to_be_bytes().map(usize::from);
            Arc::make_mut(&mut self.buckets[node])[number] = digest;
            self.changed_nodes[node] = true;
        }
    }

    /// The buckets of an inner node that are not empty, each as its number within the node and its
    /// digest: the form in which a node is stored.
    pub fn node_to_bytes(&self, node: u8) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (number, digest) in (0..=u8::MAX).zip(&*self.buckets[usize::from(node)]) {
            if *digest != EMPTY {
                bytes.push(number);
                bytes.extend_from_slice(digest);
            }
        }
        bytes
    }

    /// Puts the buckets of an inner node in their places, from their stored form. False when the
    /// bytes are not in that form; the tree is then unchanged.
    pub fn set_node_from_bytes(&mut self, node: u8, bytes: &[u8]) -> bool {
        let mut entries = bytes.chunks_exact(33);
        if !entries.remainder().is_empty() {
            return false;
        }
        let buckets = Arc::make_mut(&mut self.buckets[usize::from(node)]);
        buckets.fill(EMPTY);
        for entry in &mut entries {
            buckets[usize::from(entry[0])].copy_from_slice(&entry[1..]);
        }
        self.changed_nodes[usize::from(node)] = true;
        true
    }

    /// The root digest.
    pub fn root(&mut self) -> Digest {
        root_of_nodes(self.nodes())
    }

    /// The digests of the inner nodes.
    pub fn nodes(&mut self) -> &[Digest] {
        for node in 0..NODES {
            if !std::mem::take(&mut self.changed_nodes[node]) {
                continue;
            }
            let buckets = &*self.buckets[node];
            self.nodes[node] = if buckets.iter().all(|digest| *digest == EMPTY) {
                EMPTY
            } else {
                digest_of(b"headwater node 1\0", buckets)
            };
        }
        &self.nodes
    }

    /// The inner nodes in which two trees differ.
    pub fn differing_nodes(&mut self, other: &[Digest]) -> Vec<u8> {
        (0..=u8::MAX)
            .zip(self.nodes().iter().zip(other))
            .filter(|(_, (mine, theirs))| mine != theirs)
            .map(|(node, _)| node)
            .collect()
    }

    /// The buckets below an inner node in which two trees differ.
    pub fn differing_buckets(&self, other: &Self, node: u8) -> Vec<u16> {
        (0..=u8::MAX)
            .map(|number| u16::from_be_bytes([node, number]))
            .filter(|bucket| self.bucket(*bucket) != other.bucket(*bucket))
            .collect()
    }
}

/// The root over the digests of the inner nodes.
pub fn root_of_nodes(nodes: &[Digest]) -> Digest {
    digest_of(b"headwater root 1\0", nodes)
}

fn digest_of(domain: &[u8], digests: &[Digest]) -> Digest {
    let mut hasher = blake3::Hasher::new();
    hasher.update(domain);
    for digest in digests {
        hasher.update(digest);
    }
    *hasher.finalize().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn tree_of(items: &BTreeMap<(u16, Vec<u8>), Digest>) -> Tree {
        let mut tree = Tree::new();
        let mut hasher = BucketHasher::new();
        for bucket in 0..=u16::MAX {
            for ((_, key), digest) in items.range((bucket, vec![])..=(bucket, vec![0xff; 8])) {
                hasher.item(key, digest);
            }
            tree.set_bucket(bucket, hasher.finish().0);
        }
        tree
    }

    #[test]
    fn the_root_of_nothing_does_not_depend_on_history() {
        let mut tree = Tree::new();
        let empty = tree.root();
        tree.set_bucket(7, [1; 32]);
        assert_ne!(tree.root(), empty);
        tree.set_bucket(7, EMPTY);
        assert_eq!(tree.root(), empty);
    }

    #[test]
    fn a_node_in_a_wrong_form_is_refused() {
        assert!(!Tree::new().set_node_from_bytes(0, &[1, 2, 3]));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn the_root_depends_on_the_items_and_on_nothing_else(
            items in proptest::collection::btree_map(
                (any::<u16>(), proptest::collection::vec(0u8..0xfe, 1..6)), any::<Digest>(), 1..20),
            index in any::<proptest::sample::Index>(),
        ) {
            let mut tree = tree_of(&items);
            let root = tree.root();

            let mut restored = Tree::new();
            for node in (0..=u8::MAX).rev() {
                prop_assert!(restored.set_node_from_bytes(node, &tree.node_to_bytes(node)));
            }
            prop_assert_eq!(restored.root(), root);

            let mut changed = items.clone();
            let key = changed.keys().nth(index.index(items.len())).unwrap().clone();
            changed.remove(&key);
            prop_assert_ne!(tree_of(&changed).root(), root);
            changed.insert(key.clone(), [0xab; 32]);
            let mut other = tree_of(&changed);
            prop_assert_ne!(other.root(), root);
            let nodes = tree.differing_nodes(other.nodes());
            prop_assert_eq!(&nodes, &[key.0.to_be_bytes()[0]]);
            prop_assert_eq!(tree.differing_buckets(&other, nodes[0]), [key.0]);
        }
    }
}
