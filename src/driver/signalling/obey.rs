//! What a phone is told to do.

use super::{Command, FAREWELL, Farewell, Happening, Io, Notice, Snapshot, Turn};
use crate::call::CallId;
use crate::engine::Refused;
use crate::sip::agent::AccountId;

impl<F: FnMut(Happening)> Turn<F> {
    pub(super) fn handle_command(&mut self, command: Command) {
        let now = self.now();
        let engine = &mut self.signalling.engine;
        // A client that did not wait for its reply does not want it.
        match command {
            Command::Register(account, reply) => drop(reply.send(engine.register(now, account))),
            Command::Unregister(account, reply) => drop(reply.send(engine.unregister(now, account))),
            Command::Dial(dial, io, reply) => {
                let dialled = engine.dial(now, *dial);
                if let Ok(call) = &dialled {
                    self.audio.insert(*call, io);
                }
                drop(reply.send(dialled));
            }
            Command::Answer(call, io, reply) => {
                let answered = engine.answer(now, call);
                if answered.is_ok() {
                    self.connect(call, io);
                }
                drop(reply.send(answered));
            }
            Command::Connect(call, io, reply) => {
                let known = engine.calls().any(|(id, _)| id == call);
                if known {
                    self.connect(call, io);
                }
                drop(reply.send(if known { Ok(()) } else { Err(Refused::NoCall(call)) }));
            }
            Command::Reject(call, status, reply) => drop(reply.send(engine.reject(now, call, status))),
            Command::Hangup(call, reply) => drop(reply.send(engine.hangup(now, call))),
            Command::Change(call, change, reply) => drop(reply.send(engine.change(now, call, change))),
            Command::Dtmf(call, digits, reply) => drop(reply.send(engine.dtmf(now, call, &digits))),
            Command::Mute(call, muted, reply) => {
                let talking = engine.is_talking(call);
                if talking.is_ok()
                    && let Err(error) = self.signalling.media.mute(call.0, muted)
                {
                    self.notice(call, Notice::Trouble, error.to_string());
                }
                drop(reply.send(talking));
            }
            Command::Adjust(call, adjust, reply) => {
                let talking = engine.is_talking(call);
                let has_device = self.audio.get(&call).is_some_and(Io::has_device);
                let adjusted = talking.and(if has_device { Ok(()) } else { Err(Refused::NoDevice(call)) });
                if adjusted.is_ok()
                    && let Err(error) = self.signalling.media.adjust(call.0, adjust)
                {
                    self.notice(call, Notice::Trouble, error.to_string());
                }
                drop(reply.send(adjusted));
            }
            Command::Transfer(call, target, reply) => drop(reply.send(engine.transfer(now, call, &target))),
            Command::TransferAttended(call, other, reply) => {
                drop(reply.send(engine.transfer_attended(now, call, other)));
            }
            Command::DecideTransfer(call, follow, reply) => drop(reply.send(engine.decide_transfer(now, call, follow))),
            Command::MoveMedia(call, local, reply) => drop(reply.send(engine.move_media(now, call, local))),
            Command::Message(account, to, text, reply) => {
                drop(reply.send(engine.message(now, account, &to, &text)));
            }
            Command::Watch(account, target, every, reply) => {
                drop(reply.send(engine.watch(now, account, target, every)));
            }
            Command::Subscribe(account, expires, reply) => {
                drop(reply.send(engine.subscribe(now, account, expires)));
            }
            Command::Mixing(order) => self.handle_mixing(order),
            Command::Snapshot(reply) => drop(reply.send(Snapshot {
                registrations: engine.registrations().collect(),
                calls: engine.calls().map(|(id, record)| (id, record.clone())).collect(),
                counters: engine.counters(),
                media: self.signalling.media.load(),
            })),
            Command::Shutdown(done) => {
                let calls: Vec<CallId> = engine.calls().map(|(id, _)| id).collect();
                for call in calls {
                    let _ = engine.hangup(now, call);
                }
                engine.leave_outside(now);
                let accounts: Vec<AccountId> =
                    engine.registrations().map(|registration| registration.account).collect();
                for account in accounts {
                    let _ = engine.unregister(now, account);
                }
                self.farewell = Some(Farewell { until: now + FAREWELL, done });
            }
        }
    }
}
