//! The JSON and binary forms of the HTTP API, defined once: the server answers with these types, the client reads
//! them. Amounts and nonces are decimal strings, bytes are lower-case hex, times are RFC 3339.

mod cursor;
mod governance;
mod registration;
mod stream;
mod submission;
#[cfg(test)]
mod tables;
mod views;

pub use cursor::{Cursor, ParseCursorError, Position, plain_number};
pub use governance::{
    ApprovalView, AuthorityChange, ParticipantStanding, ParticipantView, ProposalView, ProposedAuthorityView,
    RecoveryView,
};
pub use registration::{
    AnswerTaken, ApprovalBody, AuthorityView, CaAnswer, CancelBody, CertificateActView, CertificateRequestBody,
    CertificateRequestView, CertificateView, CrlTaken, IssuedView, RegisterPage, RejectionBody, RenewalBody,
    RevocationBody, RevocationView, RevokedView, TokenBody, TokenRecordView, TokenView,
};
pub use stream::{
    CutError, Cutter, FRAME_HEAD_BYTES, Form, ItemError, MEDIA_TYPE_LINES, MEDIA_TYPE_SUBMISSIONS, STREAM_VERSION,
    StreamFrame, StreamLine, SubmissionLine, push_frame, read_submission, submission_frame,
};
pub use submission::{
    Batch, BatchAnswer, BatchResult, JsonEnvelope, JsonEnvelopeError, JsonSignature, MEDIA_TYPE_BATCH,
    MEDIA_TYPE_BLOCK, MEDIA_TYPE_BLOCKS, Outcome, SubmissionStatus,
};
pub use views::{
    AccountView, BalanceView, BlockView, ChannelSpec, ChannelState, ChannelView, CloudEvent, DetailView, DiskUseView,
    EventView, ItemView, ObstacleView, Page, PeerStatus, PlacesView, Problem, QueueView, ReceiptView, SpecOrganization,
    TaskView, TransactionView, WaitingView, tells_why,
};
