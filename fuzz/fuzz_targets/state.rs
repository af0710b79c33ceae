//! Reading a state never panics, and what was read and written again is read as the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spec::store::state::parse;

fuzz_target!(|bytes: &[u8]| {
    let Ok(state) = parse(bytes) else { return };
    let written = serde_json::to_vec(&state).expect("a state is JSON");
    assert_eq!(parse(&written).expect("what was written is read"), state);
});
