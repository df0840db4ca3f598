//! Answers: what an upstream server sends.

mod read;
mod write;

pub(crate) use write::{PLAIN_BLOB_BYTES, begin_update_data, end_update_data, write_update_item};

use super::envelope::{Body, Envelope, begin_response, finish};
use super::{
    AuthConfig, AuthorizationCookie, ConfigData, Cookie, DecodeError, DecryptionData, Deployments,
    Operation, Pong, RevisionList, SoapVersion, UpdateData,
};
use crate::fault::Fault;
use catalog::RevisionId;

/// An answer of any operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Response {
    /// Where the authorization service is.
    AuthConfig(AuthConfig),
    /// Authorization, to be exchanged for a session.
    AuthorizationCookie(AuthorizationCookie),
    /// A session.
    Cookie(Cookie),
    /// Limits and languages.
    ConfigData(ConfigData),
    /// Which revisions there are.
    RevisionList(RevisionList),
    /// Update documents.
    UpdateData(UpdateData),
    /// Keys of encrypted files.
    DecryptionData(DecryptionData),
    /// Approvals.
    Deployments(Deployments),
    /// The server fetches the files.
    DownloadFiles,
    /// Revisions related to updates.
    RelatedRevisions(Vec<RevisionId>),
    /// No drivers; the anchor to send next time.
    DriverIdList(String),
    /// No driver sets.
    DriverSetData,
    /// The service works, or not.
    Pong(Pong),
}

impl Response {
    /// Which operation this is the answer to.
    pub const fn operation(&self) -> Operation {
        match self {
            Self::AuthConfig(_) => Operation::GetAuthConfig,
            Self::AuthorizationCookie(_) => Operation::GetAuthorizationCookie,
            Self::Cookie(_) => Operation::GetCookie,
            Self::ConfigData(_) => Operation::GetConfigData,
            Self::RevisionList(_) => Operation::GetRevisionIdList,
            Self::UpdateData(_) => Operation::GetUpdateData,
            Self::DecryptionData(_) => Operation::GetUpdateDecryptionData,
            Self::Deployments(_) => Operation::GetDeployments,
            Self::DownloadFiles => Operation::DownloadFiles,
            Self::RelatedRevisions(_) => Operation::GetRelatedRevisionsForUpdates,
            Self::DriverIdList(_) => Operation::GetDriverIdList,
            Self::DriverSetData => Operation::GetDriverSetData,
            Self::Pong(_) => Operation::Ping,
        }
    }

    /// The answer as a whole envelope. Lists without entries are written as empty elements, because
    /// clients demand them.
    pub fn encode(&self, version: SoapVersion) -> String {
        let mut writer = begin_response(version, self.size_hint());
        write::write(self, &mut writer);
        finish(writer)
    }

    fn size_hint(&self) -> usize {
        const ENVELOPE: usize = 1024;
        const IDENTITY: usize = 140;
        match self {
            Self::RevisionList(list) => ENVELOPE + list.revisions.len() * IDENTITY,
            Self::UpdateData(data) => {
                ENVELOPE
                    + data
                        .updates
                        .iter()
                        .map(|u| u.document.len() * 3)
                        .sum::<usize>()
            }
            Self::AuthConfig(_)
            | Self::AuthorizationCookie(_)
            | Self::Cookie(_)
            | Self::ConfigData(_)
            | Self::DecryptionData(_)
            | Self::Deployments(_)
            | Self::DownloadFiles
            | Self::RelatedRevisions(_)
            | Self::DriverIdList(_)
            | Self::DriverSetData
            | Self::Pong(_) => ENVELOPE * 4,
        }
    }

    /// Decodes the answer to `operation`. The outer result is about the message, the inner one about
    /// what the server decided.
    ///
    /// # Errors
    /// [`DecodeError`] where the message is not an answer to `operation`.
    pub fn decode(input: &[u8], operation: Operation) -> Result<Result<Self, Fault>, DecodeError> {
        let Envelope {
            body, mut reader, ..
        } = Envelope::open(input)?;
        let name = match body {
            Body::Fault(fault) => return Ok(Err(fault)),
            Body::Element(name) => name,
        };
        let expected = format!("{operation}Response");
        if name != expected.as_bytes() {
            return Err(DecodeError::Unexpected {
                found: String::from_utf8_lossy(&name).into_owned(),
                expected,
            });
        }
        read::read(operation, &mut reader).map(Ok)
    }
}
