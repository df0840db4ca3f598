//! How much goes into an answer, and how much memory that takes.

use super::StoredUpdate;
use crate::message::{
    FileUrl, PLAIN_BLOB_BYTES, Response, SoapVersion, begin_update_data, end_update_data,
    write_update_item,
};
use catalog::RevisionId;
use std::collections::{HashMap, HashSet};

/// An answer to `GetUpdateData` is not filled above this, as at Windows: the downstream server asks again
/// for the rest. One update goes out whatever its size.
const SHORT_ANSWER_BYTES: usize = 2_000_000;

/// About how many bytes an answer has, but for `GetUpdateData`.
pub(super) fn answer_bytes(response: &Response) -> usize {
    const REVISION: usize = 160;
    const DEPLOYMENT: usize = 1200;
    const ID: usize = 64;
    match response {
        Response::RevisionList(list) => list.revisions.len() * REVISION,
        Response::Deployments(told) => {
            let ids = told.dead_deployments.len() + told.hidden_updates.len();
            told.deployments.len() * DEPLOYMENT + (ids + told.accepted_eulas.len()) * ID
        }
        // None of these is longer than the largest request makes it.
        Response::AuthConfig(_)
        | Response::AuthorizationCookie(_)
        | Response::Cookie(_)
        | Response::ConfigData(_)
        | Response::UpdateData(_)
        | Response::DecryptionData(_)
        | Response::DownloadFiles
        | Response::RelatedRevisions(_)
        | Response::DriverIdList(_)
        | Response::DriverSetData
        | Response::Pong(_) => 0,
    }
}

/// How many of the updates that were asked for are read for one answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct AnswerPart {
    pub updates: usize,
    /// What they take in memory at most, while they are encoded.
    pub bytes: usize,
}

impl AnswerPart {
    /// As many as fit into an answer; one whatever its size. A document that is asked for again is read once.
    pub fn of(ids: &[RevisionId], document_bytes: &[usize]) -> Self {
        let mut named = HashSet::new();
        let (mut documents, mut encoded, mut largest) = (0, 0, 0);
        let mut updates = 0;
        for (id, &bytes) in ids.iter().zip(document_bytes) {
            let more = encoded_bytes(bytes);
            if updates > 0 && encoded + more > SHORT_ANSWER_BYTES {
                break;
            }
            updates += 1;
            encoded += more;
            largest = bytes.max(largest);
            if named.insert(id) {
                documents += bytes;
            }
        }
        Self {
            updates,
            // One document at a time is there as UTF-16 too, and in its cabinet.
            bytes: documents + encoded + (4 * largest).max(encoded),
        }
    }
}

/// The updates of one answer to `GetUpdateData`, in the order asked for.
#[derive(Default)]
pub(super) struct UpdateAnswer {
    updates: Vec<(RevisionId, StoredUpdate)>,
    /// Bytes of the documents, as they are.
    pub document_bytes: usize,
    encoded_bytes: usize,
}

impl UpdateAnswer {
    pub fn add(&mut self, id: RevisionId, update: StoredUpdate) {
        let length = update.document.len();
        self.document_bytes += length;
        self.encoded_bytes += encoded_bytes(length);
        self.updates.push((id, update));
    }

    /// Whether reading more updates would be in vain.
    pub fn is_full(&self) -> bool {
        self.encoded_bytes >= SHORT_ANSWER_BYTES
    }

    /// Writes updates until the answer is full; at least one.
    pub fn encode(self, version: SoapVersion) -> String {
        const ROOM_FOR_ONE_MORE: usize = 64 << 10;
        let first = self.updates.first();
        let first = first.map_or(0, |(_, update)| encoded_bytes(update.document.len()));
        let most = SHORT_ANSWER_BYTES.max(first);
        let guess = self.encoded_bytes.min(most) + ROOM_FOR_ONE_MORE;
        let mut writer = begin_update_data(version, guess);
        let mut named: HashMap<&[u8], usize> = HashMap::new();
        let mut urls: Vec<&FileUrl> = vec![];
        for (index, (id, update)) in self.updates.iter().enumerate() {
            let before = writer.len();
            write_update_item(&mut writer, *id, &update.document, &update.file_digests);
            if index > 0 && writer.len() > SHORT_ANSWER_BYTES {
                writer.buffer().truncate(before);
                break;
            }
            for url in &update.file_urls {
                let at = *named.entry(&url.digest).or_insert(urls.len());
                match urls.get_mut(at) {
                    None => urls.push(url),
                    // Another update may know the address of a file that they share.
                    Some(held) if held.mu_url.is_none() => *held = url,
                    Some(_) => {}
                }
            }
        }
        end_update_data(writer, &urls)
    }
}

/// About how many bytes of an answer a document of so many bytes takes.
fn encoded_bytes(document: usize) -> usize {
    const ITEM: usize = 250;
    if document * 2 > PLAIN_BLOB_BYTES {
        document * 2 / 3 * 4 + ITEM // UTF-16, in base64
    } else {
        document + ITEM
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Operation;

    fn ids(numbers: &[u32]) -> Vec<RevisionId> {
        let id = |number: &u32| RevisionId::new(catalog::UpdateId::from_u128(7), *number);
        numbers.iter().map(id).collect()
    }

    #[track_caller]
    fn check(numbers: &[u32], bytes: &[usize], updates: usize) -> usize {
        let part = AnswerPart::of(&ids(numbers), bytes);
        assert_eq!(part.updates, updates);
        part.bytes
    }

    #[test]
    fn no_more_is_read_than_goes_into_an_answer() {
        const LARGE: usize = 47 << 20;
        check(&[1; 100], &[2_000; 100], 100);
        check(&[1, 2, 3], &[10, LARGE, 10], 1);
        let one = check(&[1, 2, 3], &[LARGE, 10, 10], 1);
        assert!((LARGE * 6..LARGE * 8).contains(&one), "{one}");
        // What is asked for again is read once, and sent again.
        let bytes = 100 << 10;
        let (same, others) = (
            check(&[1; 9], &[bytes; 9], 7),
            check(&[1, 2, 3, 4, 5, 6, 7, 8], &[bytes; 8], 7),
        );
        assert_eq!(others - same, bytes * 6);
        // What a source does not know beforehand is found out while it is read.
        check(&[1; 100], &[0; 100], 100);
    }

    #[test]
    fn a_file_is_named_once_and_with_its_address_where_any_update_knows_it() {
        let url = |digest: u8, mu_url: Option<&str>| FileUrl {
            digest: vec![digest; 20],
            mu_url: mu_url.map(str::to_owned),
            uss_url: None,
        };
        let mut answer = UpdateAnswer::default();
        for (id, urls) in ids(&[1, 2, 3]).into_iter().zip([
            vec![url(7, None), url(8, None)],
            vec![url(7, Some("http://a"))],
            vec![url(7, None), url(7, Some("http://b"))],
        ]) {
            let update = StoredUpdate {
                document: "<Update/>".into(),
                file_digests: vec![[7; 20]],
                file_urls: urls,
            };
            answer.add(id, update);
        }
        let text = answer.encode(SoapVersion::V11);
        let decoded = Response::decode(text.as_bytes(), Operation::GetUpdateData);
        let Ok(Ok(Response::UpdateData(data))) = decoded else {
            panic!("{text}");
        };
        assert_eq!(data.file_urls, [url(7, Some("http://a")), url(8, None)]);
    }
}
