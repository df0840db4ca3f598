//! Where a software update point belongs from now on: told to the point itself, to the parent that it leaves and
//! to the one that it joins. Only members of the hierarchy are listened to; the one that is dialled for it has to
//! show the certificate of the named parent, and to let the point in by what it knows itself.

use crate::address::{self, Address};
use crate::reports::Reports;
use catalog::{PointId, SiteKind};
use prost::Message as _;
use store::authority::SiteRow;
use tonic::Status;
use tonic::metadata::MetadataValue;
use wire::convert;
use wire::v1::MovedSites;

/// Points in one message.
pub const MOVED_PER_MESSAGE: usize = 200;
/// Where a refusal says it.
const METADATA: &str = "headwater-moved-bin";
/// Longest value there that is read, in bytes.
const MAX_METADATA: usize = 4096;

/// A software update point and its parent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// The point.
    pub site: PointId,
    /// Its kind.
    pub kind: SiteKind,
    /// Its parent from now on.
    pub parent: PointId,
    /// Where the parent is reached, if that is known.
    pub parent_url: Option<String>,
    /// Digest of the public key that the point joined with.
    pub key_hash: [u8; 32],
}

impl Moved {
    /// What a register says, with the address that the parent reported. None for a row without a key.
    pub fn of(row: &SiteRow, reports: &Reports) -> Option<Self> {
        Some(Self {
            site: row.code,
            kind: row.kind,
            parent: row.parent,
            parent_url: Address::reported(reports, row.parent).map(|address| address.url),
            key_hash: row.key_hash.as_slice().try_into().ok()?,
        })
    }

    /// Who has to be dialled, if it is known where.
    pub fn address(&self) -> Option<Address> {
        let url = self.parent_url.clone()?;
        let point = self.parent;
        Some(Address { point, url })
    }

    fn read(said: &wire::v1::Moved) -> Result<Self, convert::Error> {
        let url = &said.parent_url;
        Ok(Self {
            site: convert::site_code("site_code", &said.site_code)?,
            kind: convert::site_kind("site_kind", &said.site_kind)?,
            parent: convert::site_code("parent", &said.parent)?,
            parent_url: address::usable(url).then(|| url.clone()),
            key_hash: convert::array("key_hash", &said.key_hash)?,
        })
    }

    fn to_wire(&self) -> wire::v1::Moved {
        wire::v1::Moved {
            site_code: self.site.to_string(),
            site_kind: self.kind.name().to_owned(),
            parent: self.parent.to_string(),
            parent_url: self.parent_url.clone().unwrap_or_default(),
            key_hash: self.key_hash.to_vec(),
        }
    }
}

/// What another site says.
///
/// # Errors
/// When it is malformed.
pub fn read(said: &MovedSites) -> Result<Vec<Moved>, convert::Error> {
    let said = said.sites.iter().take(MOVED_PER_MESSAGE);
    said.map(Moved::read).collect()
}

/// As it is told to others, in messages of bounded size.
pub fn messages(moved: &[Moved]) -> impl Iterator<Item = MovedSites> {
    moved.chunks(MOVED_PER_MESSAGE).map(|moved| MovedSites {
        sites: moved.iter().map(Moved::to_wire).collect(),
    })
}

/// A refusal that also says where the one who is refused belongs.
pub fn refusal(mut status: Status, moved: &[Moved]) -> Status {
    if let Some(message) = messages(moved).next() {
        let value = MetadataValue::from_bytes(&message.encode_to_vec());
        status.metadata_mut().insert_bin(METADATA, value);
    }
    status
}

/// What a refusal says of where the one who was refused belongs; nothing where it does not, or where what it says
/// cannot be used.
pub fn of_refusal(status: &Status) -> Vec<Moved> {
    let value = status.metadata().get_bin(METADATA);
    let bytes = value.and_then(|value| value.to_bytes().ok());
    bytes
        .filter(|bytes| bytes.len() <= MAX_METADATA)
        .and_then(|bytes| MovedSites::decode(bytes).ok())
        .and_then(|said| read(&said).ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moved(site: &str, parent: &str) -> Moved {
        Moved {
            site: site.parse().unwrap(),
            kind: SiteKind::Primary,
            parent: parent.parse().unwrap(),
            parent_url: Some("https://pr1-2:8540".into()),
            key_hash: [7; 32],
        }
    }

    #[test]
    fn a_refusal_tells_where_the_refused_one_belongs() {
        let told = [moved("PR1-2", "CAS"), moved("PR1", "PR1-2")];
        let refused = refusal(Status::permission_denied("no"), &told);
        assert_eq!(refused.message(), "no");
        assert_eq!(of_refusal(&refused), told);
        assert_eq!(of_refusal(&Status::permission_denied("no")), []);
    }

    #[test]
    fn what_a_refusal_says_is_checked() {
        let mut said = messages(&[moved("PR1", "PR1-2")]).next().unwrap();
        said.sites[0].parent_url = "http://plain:1".into();
        assert_eq!(read(&said).unwrap()[0].address(), None);
        said.sites[0].parent = "nobody".into();
        let mut refused = Status::permission_denied("no");
        let value = MetadataValue::from_bytes(&said.encode_to_vec());
        refused.metadata_mut().insert_bin(METADATA, value);
        assert_eq!(of_refusal(&refused), []);
        let value = MetadataValue::from_bytes(&[0xff; 100]);
        refused.metadata_mut().insert_bin(METADATA, value);
        assert_eq!(of_refusal(&refused), []);
    }

    #[test]
    fn many_are_told_in_several_messages() {
        let many = vec![moved("SE1", "PR1-2"); MOVED_PER_MESSAGE + 1];
        let sizes: Vec<usize> = messages(&many).map(|message| message.sites.len()).collect();
        assert_eq!(sizes, [MOVED_PER_MESSAGE, 1]);
    }
}
