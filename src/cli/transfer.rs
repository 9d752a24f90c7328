//! How transfers are told.

use crate::phone::{Role, Step, Transferred};
use serde_json::{Value, json};

/// The event, its fields, its sentence.
pub(super) fn told(transferred: &Transferred) -> (&'static str, Value, String) {
    let Transferred { role, target, step } = transferred;
    let (name, mut fields, text) = match (step, role) {
        (Step::Asked, _) => (
            "call.transfer.asked",
            json!({}),
            format!("the far end asks us to call {target} in its place: `follow` or `stay`"),
        ),
        (Step::Requested, Role::Transferor) => {
            ("call.transfer.requested", json!({}), format!("sending the far end to {target}"))
        }
        (Step::Requested, _) => ("call.transfer.requested", json!({}), format!("the far end sends us to {target}")),
        (Step::Accepted, _) => ("call.transfer.accepted", json!({}), "the far end takes it up".to_owned()),
        (Step::Progress(status, reason), _) => (
            "call.transfer.progress",
            json!({"sip_code": status.code(), "reason": reason}),
            format!("{target}: {status} {reason}"),
        ),
        (Step::Completed, Role::Transferor) => {
            ("call.transfer.completed", json!({}), format!("the far end has arrived at {target}"))
        }
        (Step::Completed, Role::Transferee) => {
            ("call.transfer.completed", json!({}), format!("we were sent to {target}, who answered"))
        }
        (Step::Completed, Role::Target) => {
            ("call.transfer.completed", json!({}), format!("{target} takes the place of the far end"))
        }
        (Step::Failed(status, reason), _) => (
            "call.transfer.failed",
            json!({"sip_code": status.map(|status| status.code()), "reason": reason}),
            match status {
                Some(status) => format!("not transferred to {target}: {status} {reason}; the call goes on"),
                None => format!("not transferred to {target}: {reason}; the call goes on"),
            },
        ),
    };
    fields["role"] = json!(role);
    fields["target"] = target.as_str().into();
    (name, fields, text)
}
