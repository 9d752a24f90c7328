//! What happens in a call beside its signalling.

/// What a notice is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The source came to its end; silence follows.
    SourceEnded,
    /// A device or the recording does not work.
    Trouble,
    /// Which devices are in use.
    Device,
    /// The call moves to another address of ours: the network changed, or the user wants it.
    Moved,
    /// All queued digits were sent up to this one.
    DtmfSent,
}
