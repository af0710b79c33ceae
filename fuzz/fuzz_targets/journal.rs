//! Reading a journal never fails on its bytes; cutting a torn end off loses no record and leaves it whole.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use spec::store::journal::{Lines, Tail, scan};

fuzz_target!(|bytes: &[u8]| {
    check(bytes);
    // Few lines that are made up have a sum that is right, so each gets the one that it would need.
    let mut sealed = Vec::new();
    for body in bytes.split(|&byte| byte == b'\n') {
        sealed.extend_from_slice(body);
        sealed.extend_from_slice(format!(",\"crc\":\"{:08x}\"}}\n", crc32fast::hash(body)).as_bytes());
    }
    check(&sealed);
    sealed.pop();
    check(&sealed);
});

fn check(bytes: &[u8]) {
    let (records, tail) = read(bytes);
    match tail {
        Tail::Whole => assert!(bytes.is_empty() || bytes.ends_with(b"\n")),
        Tail::Torn { at } => assert_eq!(read(&bytes[..at as usize]), (records, Tail::Whole)),
        Tail::Corrupt { bad } => {
            assert!(bad.iter().all(|range| range.start < range.end && range.end <= bytes.len() as u64));
            assert!(bad.windows(2).all(|pair| pair[0].end < pair[1].start));
        }
    }
}

fn read(bytes: &[u8]) -> (Vec<String>, Tail) {
    let mut records = Vec::new();
    let tail = scan(Lines::new(bytes, Path::new("journal")), |record| records.push(format!("{record:?}")));
    (records, tail.expect("bytes in memory can be read"))
}
