//! What it costs to look for secrets in what is printed: output without any, the stream of an agent, and output full of them.

use std::sync::Arc;

use divan::Bencher;
use divan::counter::BytesCount;
use spec::mask::{Config, Masker, Stream};

fn main() {
    divan::main();
}

/// Sixteen megabytes of this.
fn much(of: &str) -> Vec<u8> {
    of.repeat((16 << 20) / of.len()).into_bytes()
}

/// Passes it in pieces as they come out of a pipe.
fn pass(bencher: Bencher<'_, '_>, text: &[u8]) {
    let vars = (0..10).map(|number| (format!("V{number}_TOKEN"), format!("value-of-{number}-{}", number * 7919)));
    let masker = Arc::new(Masker::new(&Config::default(), vars).expect("no patterns"));
    bencher.counter(BytesCount::new(text.len())).bench(|| {
        let (mut stream, mut passed) = (Stream::new(Arc::clone(&masker)), 0);
        for piece in text.chunks(16 * 1024) {
            stream.push(piece, &mut |part| passed += part.len());
        }
        stream.finish(&mut |part| passed += part.len());
        passed
    });
}

#[divan::bench(sample_count = 20)]
fn output_of_tests(bencher: Bencher<'_, '_>) {
    pass(
        bencher,
        &much("test document::tests::a_list_with_crlf_line_ends_keeps_them ... ok\n   Compiling serde v1.0.228\n"),
    );
}

#[divan::bench(sample_count = 20)]
fn stream_of_an_agent(bencher: Bencher<'_, '_>) {
    let line = r#"{"type":"assistant","message":{"content":[{"type":"text","text":"I will look at the file and change the parser.\nThen the tests."}],"usage":{"input_tokens":1200,"cache_read_input_tokens":45000,"output_tokens":120}},"session_id":"0192-aa"}"#;
    pass(bencher, &much(&format!("{line}\n")));
}

#[divan::bench(sample_count = 20)]
fn a_secret_in_every_line(bencher: Bencher<'_, '_>) {
    pass(bencher, &much(&format!("on ghp_{} and value-of-3-23757\n", "aB3dE6gH9j".repeat(4))));
}
