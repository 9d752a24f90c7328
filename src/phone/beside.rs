//! Commands beside the making and ending of calls: transfers, muting, texts, mailboxes, watched peers.

use super::{AccountId, CallId, CommandError, OutsideId, Phone};
use crate::audio::Adjust;
use crate::driver::signalling::Command;
use crate::sip::uri::Uri;
use crate::time::Duration;
use std::net::IpAddr;

impl Phone {
    /// Sends silence in a call, or what its source says again. Digits are sent all the same.
    ///
    /// # Errors
    /// When the call is not answered, or the phone has ended.
    pub async fn mute(&self, call: CallId, muted: bool) -> Result<(), CommandError> {
        self.ask(|reply| Command::Mute(call, muted, reply)).await
    }

    /// Turns something at the sound devices of a call: how loud the microphone is sent, the far end played, the own voice
    /// heard.
    ///
    /// # Errors
    /// When the call is not answered or has no sound device, or the phone has ended.
    pub async fn adjust(&self, call: CallId, adjust: Adjust) -> Result<(), CommandError> {
        self.ask(|reply| Command::Adjust(call, adjust, reply)).await
    }

    /// Sends the far end of a call to `target` (RFC 3515). [`Moment::Transfer`](super::Moment::Transfer) tells how it goes;
    /// the call ends when the far end has arrived, and goes on when it has not.
    ///
    /// # Errors
    /// When the call is not answered or is being transferred already, or the phone has ended.
    pub async fn transfer(&self, call: CallId, target: Uri) -> Result<(), CommandError> {
        self.ask(|reply| Command::Transfer(call, target, reply)).await
    }

    /// Joins the far ends of two calls: that of `call` takes our place in `other` (RFC 3891). Both calls end when that has
    /// happened.
    ///
    /// # Errors
    /// When one of the calls is not answered or is being transferred already, or the phone has ended.
    pub async fn transfer_attended(&self, call: CallId, other: CallId) -> Result<(), CommandError> {
        self.ask(|reply| Command::TransferAttended(call, other, reply)).await
    }

    /// Follows the far end of a call to whom it sends us, or not, where the policy is to ask
    /// ([`Transfers::Ask`](super::Transfers::Ask)).
    ///
    /// # Errors
    /// When the far end asks for no transfer, or the phone has ended.
    pub async fn decide_transfer(&self, call: CallId, follow: bool) -> Result<(), CommandError> {
        self.ask(|reply| Command::DecideTransfer(call, follow, reply)).await
    }

    /// Takes the RTP of a call at another address of ours, and tells its far end by a re-INVITE.
    ///
    /// # Errors
    /// When the call is not answered, or the phone has ended. That the address is none of ours comes as a notice.
    pub async fn move_media(&self, call: CallId, local: IpAddr) -> Result<(), CommandError> {
        self.ask(|reply| Command::MoveMedia(call, local, reply)).await
    }

    /// Sends a text (RFC 3428); [`News::MessageSent`](super::News::MessageSent) or [`News::MessageFailed`](super::News::MessageFailed) with the id that is given tells what
    /// became of it.
    ///
    /// # Errors
    /// When the account does not exist, the target cannot be reached by SIP, the text is too long, or the phone has ended.
    pub async fn message(&self, account: AccountId, to: Uri, text: &str) -> Result<OutsideId, CommandError> {
        self.ask(|reply| Command::Message(account, to, text.to_owned(), reply)).await
    }

    /// Asks a peer by OPTIONS every so often whether it is there ([`News::Peer`](super::News::Peer)); the account's own server when absent.
    ///
    /// # Errors
    /// When the account does not exist, the target cannot be reached by SIP, or the phone has ended.
    pub async fn watch(&self, account: AccountId, target: Option<Uri>, every: Duration) -> Result<(), CommandError> {
        self.ask(|reply| Command::Watch(account, target, every, reply)).await
    }

    /// Subscribes to the mailbox of an account (RFC 3842), each time for so long ([`News::Waiting`](super::News::Waiting)).
    ///
    /// # Errors
    /// When the account does not exist, its domain cannot be reached by SIP, or the phone has ended.
    pub async fn subscribe(&self, account: AccountId, expires: Duration) -> Result<(), CommandError> {
        self.ask(|reply| Command::Subscribe(account, expires, reply)).await
    }
}
