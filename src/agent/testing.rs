//! What the tests of the decoders share.

use super::{Decoder, Session};

/// What a program comes to that prints these lines, these to standard error, and ends with that exit code.
pub(super) fn read<L: AsRef<[u8]>>(mut decoder: Box<dyn Decoder>, lines: &[L], errors: &[L], exit: i32) -> Session {
    let mut session = Session::default();
    let mut say = |said| {
        session.take(said);
    };
    for line in lines {
        decoder.stdout(line.as_ref(), &mut say);
    }
    for line in errors {
        decoder.stderr(line.as_ref(), &mut say);
    }
    decoder.end(Some(exit), &mut say);
    session
}
