//! Questions of this hospital to the coordinator's desk, signed with its key.

use protocol::{
    codec::{self, CodecError},
    enrolment::{Ask, EnrolmentReply, EnrolmentRequest, MAX_REPLY_BYTES, MemberRequest},
    identity::{Signed, SigningKey},
};
use transport::{EnrolmentClient, TransportError, certificates::KeyFingerprint};

/// The desk as a member sees it, or one that has asked to join.
pub struct MemberDesk<'a> {
    client: EnrolmentClient,
    authority: KeyFingerprint,
    key: &'a SigningKey,
}

impl<'a> MemberDesk<'a> {
    /// The desk at `address` ("host:port") of the federation with this authority, for the hospital with this key.
    ///
    /// # Errors
    /// [`TransportError`].
    pub fn new(
        address: &str,
        server_name: &str,
        authority: KeyFingerprint,
        key: &'a SigningKey,
    ) -> Result<Self, TransportError> {
        Ok(Self {
            client: EnrolmentClient::new(address, server_name, authority)?,
            authority,
            key,
        })
    }

    /// Asks. To be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`DeskError`].
    pub async fn ask(&self, ask: Ask) -> Result<EnrolmentReply, DeskError> {
        let request = MemberRequest {
            authority: *self.authority.as_bytes(),
            signing_key: self.key.public(),
            ask,
        };
        let request = EnrolmentRequest::Ask(Signed::sign(&request, self.key));
        answer(&self.client, &request).await
    }
}

/// The coordinator's answer, unless it is a refusal.
pub(super) async fn answer(
    client: &EnrolmentClient,
    request: &EnrolmentRequest,
) -> Result<EnrolmentReply, DeskError> {
    let question = codec::encode_frame(request);
    let answer = client.ask(&question, MAX_REPLY_BYTES).await?;
    match codec::decode_frame(&answer)? {
        EnrolmentReply::Refused { reason } => Err(DeskError::Refused(reason.0)),
        reply => Ok(reply),
    }
}

/// Why the desk has not done what was asked.
#[derive(Debug, thiserror::Error)]
pub enum DeskError {
    /// It cannot be reached, or not be believed.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The answer is none.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// In the coordinator's words.
    #[error("the coordinator refuses: {0}")]
    Refused(String),
    /// To another question.
    #[error(
        "the coordinator gave another answer than was asked for; both programs must be of the same release"
    )]
    OtherAnswer,
}

impl DeskError {
    /// Whether another try later may help.
    pub fn is_passing(&self) -> bool {
        matches!(
            self,
            Self::Transport(TransportError::Unreachable { .. } | TransportError::Stalled { .. })
        )
    }
}
