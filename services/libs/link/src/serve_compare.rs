//! Answering a child that compares its catalog with this site's: digests of nodes and buckets, the keys
//! in buckets, and items by their keys. All of it is of the verified catalog.

use crate::serve_pull::{BYTES_PER_BATCH, CHANGES_PER_BATCH, encode};
use catalog::item::{Digest, ItemKey};
use catalog::merkle::root_of_nodes;
use futures::Stream;
use store::log::LogSlice;
use store::{Read, Store};
use tonic::Status;
use trust::statement::SignedStatement;
use wire::v1::{
    BucketList, FetchItemsRequest, FetchItemsResponse, ListBucketsRequest, ListBucketsResponse,
    ListItemsRequest, ListItemsResponse, ListNodesResponse, MerkleNode,
};

/// Buckets whose items are listed in one call.
pub const BUCKETS_PER_CALL: usize = 512;
/// Items that are fetched in one call.
pub const ITEMS_PER_CALL: usize = CHANGES_PER_BATCH;

/// Serves comparisons from a database. Cheap to clone.
#[derive(Clone)]
pub struct CompareServer {
    store: Store,
}

fn internal(error: store::Error) -> Status {
    tracing::error!(%error, "a comparison could not be served");
    if matches!(error, store::Error::Corrupt { .. }) {
        return damaged();
    }
    Status::internal("the site's database failed; its journal says more")
}

fn damaged() -> Status {
    Status::data_loss("its own rows are not what was signed: verify it (headwater site verify)")
}

/// A catalog that is verified.
struct Verified<'s> {
    read: Read<'s>,
    statement: Vec<u8>,
    root: Digest,
}

impl CompareServer {
    /// A server for the verified catalog of a store.
    pub fn new(store: Store) -> Self {
        Self { store }
    }

    /// The verified catalog, if there is one.
    async fn verified(&self) -> Result<Option<Verified<'_>>, Status> {
        let mut read = self.store.read().await.map_err(internal)?;
        let Some(statement) = read.statement().await.map_err(internal)? else {
            return Ok(None);
        };
        let signed = SignedStatement::from_bytes(&statement)
            .map_err(|_| Status::internal("the site's statement cannot be read"))?;
        let root = signed.claimed().root;
        Ok(Some(Verified {
            read,
            statement,
            root,
        }))
    }

    /// The verified catalog with the root that a comparison began with.
    async fn same(&self, root: &[u8]) -> Result<Verified<'_>, Status> {
        let verified = self.verified().await?;
        verified
            .filter(|verified| verified.root == root)
            .ok_or_else(|| Status::aborted("the catalog went on meanwhile; begin again"))
    }

    /// The statement, and the digests of the inner nodes.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn nodes(&self) -> Result<ListNodesResponse, Status> {
        let Some(mut verified) = self.verified().await? else {
            return Ok(ListNodesResponse::default());
        };
        let tree = verified.read.tree().await.map_err(internal)?;
        let nodes = catalog::merkle::Tree::clone(&tree).nodes().to_vec();
        if root_of_nodes(&nodes) != verified.root {
            return Err(damaged());
        }
        Ok(ListNodesResponse {
            statement: verified.statement,
            nodes: nodes.concat(),
        })
    }

    /// The digests of the buckets below some inner nodes.
    ///
    /// # Errors
    /// When a node is none, the catalog went on, or the database fails.
    pub async fn buckets(
        &self,
        request: &ListBucketsRequest,
    ) -> Result<ListBucketsResponse, Status> {
        let nodes = numbers::<u8>("nodes", &request.nodes, usize::from(u8::MAX) + 1)?;
        let mut verified = self.same(&request.root).await?;
        let tree = verified.read.tree().await.map_err(internal)?;
        let nodes = nodes.into_iter().map(|node| MerkleNode {
            node: node.into(),
            buckets: tree.node_to_bytes(node),
        });
        Ok(ListBucketsResponse {
            nodes: nodes.collect(),
        })
    }

    /// The keys and digests of the items in some buckets.
    ///
    /// # Errors
    /// When there are too many, the catalog went on, or the database fails.
    pub async fn items(&self, request: &ListItemsRequest) -> Result<ListItemsResponse, Status> {
        let buckets = numbers::<u16>("buckets", &request.buckets, BUCKETS_PER_CALL)?;
        let mut verified = self.same(&request.root).await?;
        let lists = verified.read.list_buckets(&buckets).await;
        let buckets = lists.map_err(internal)?.into_iter().map(|list| BucketList {
            bucket: list.bucket.into(),
            items: to_bytes(&list.items),
        });
        Ok(ListItemsResponse {
            buckets: buckets.collect(),
        })
    }

    /// Items by their keys, in batches.
    ///
    /// # Errors
    /// When there are too many, or a key is none.
    pub fn fetch(
        self,
        request: &FetchItemsRequest,
    ) -> Result<impl Stream<Item = Result<FetchItemsResponse, Status>> + Send + use<>, Status> {
        if request.keys.len() > ITEMS_PER_CALL {
            return Err(Status::invalid_argument("too many items at once"));
        }
        let keys = request
            .keys
            .iter()
            .map(|key| ItemKey::from_bytes(key))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        let fetch = Fetch {
            server: self,
            root: request.root.clone(),
            keys,
            sent: 0,
        };
        Ok(futures::stream::try_unfold(fetch, Fetch::next))
    }
}

/// Items that are being sent.
struct Fetch {
    server: CompareServer,
    root: Vec<u8>,
    keys: Vec<ItemKey>,
    sent: usize,
}

impl Fetch {
    async fn next(mut self) -> Result<Option<(FetchItemsResponse, Self)>, Status> {
        let rest = self.keys.get(self.sent..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(None);
        }
        let items = {
            let mut verified = self.server.same(&self.root).await?;
            let items = verified.read.items_of(rest, BYTES_PER_BATCH).await;
            items.map_err(internal)?
        };
        // What was listed is not there.
        let Some(last) = items.last().map(|item| item.key.clone()) else {
            return Err(damaged());
        };
        let reached = rest.iter().position(|key| key.to_bytes() == last);
        self.sent += reached.map_or(rest.len(), |at| at + 1);
        let slice = LogSlice {
            changes: items,
            through: 0,
        };
        let batch = encode(slice);
        Ok(Some((FetchItemsResponse { batch }, self)))
    }
}

/// Keys and digests as they travel.
fn to_bytes(items: &[(ItemKey, Digest)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (key, digest) in items {
        let key = key.to_bytes();
        // A key has 21 bytes; the longest that is stored has 64.
        bytes.push(u8::try_from(key.len()).unwrap_or(u8::MAX));
        bytes.extend_from_slice(&key);
        bytes.extend_from_slice(digest);
    }
    bytes
}

/// Keys and digests from what travelled; the error says why it cannot be read.
pub(crate) fn from_bytes(mut bytes: &[u8]) -> Result<Vec<(ItemKey, Digest)>, String> {
    let mut items = Vec::new();
    while let Some((length, rest)) = bytes.split_first() {
        let cut = || "a list of items is cut off".to_owned();
        let (key, rest) = rest.split_at_checked((*length).into()).ok_or_else(cut)?;
        let (digest, rest) = rest.split_first_chunk::<32>().ok_or_else(cut)?;
        let key = ItemKey::from_bytes(key).map_err(|error| error.to_string())?;
        items.push((key, *digest));
        bytes = rest;
    }
    Ok(items)
}

/// Numbers of a list that fit their type.
fn numbers<T: TryFrom<u32>>(
    field: &'static str,
    values: &[u32],
    most: usize,
) -> Result<Vec<T>, Status> {
    if values.len() > most {
        return Err(Status::invalid_argument(format!(
            "{field}: more than {most} at once"
        )));
    }
    let fits = values.iter().map(|value| T::try_from(*value));
    fits.collect::<Result<_, _>>()
        .map_err(|_| Status::invalid_argument(format!("{field}: there is no such number")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use catalog::{RevisionId, UpdateId};

    #[test]
    fn lists_of_items_are_read_as_they_were_written() {
        let item = |number| {
            let id = RevisionId::new(UpdateId::from_u128(number), 7);
            (ItemKey::Revision(id), [9; 32])
        };
        let items: Vec<_> = (1..5).map(item).collect();
        let bytes = to_bytes(&items);
        assert_eq!(from_bytes(&bytes).unwrap(), items);
        assert_eq!(from_bytes(&[]).unwrap(), []);
        for end in 1..bytes.len() {
            let whole = end % (1 + 21 + 32) == 0;
            assert_eq!(from_bytes(&bytes[..end]).is_ok(), whole, "{end}");
        }
    }
}
