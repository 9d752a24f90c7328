//! Session descriptions (RFC 8866): lenient in, strict out.
