//! Secrets of every kind, in streams that are cut anywhere: none gets out, and nothing else is touched.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::string::string_regex;

use super::*;

/// A kind of secret: the name it is masked by, and what it looks like. Not taken from the shapes: one is held to the
/// other. The parts are apart so that no scanner takes them for secrets.
const KINDS: [(&str, &str, &str); 40] = [
    ("anthropic-key", "sk-ant", "-api03-[a-zA-Z0-9_-]{93}AA"),
    ("openrouter-key", "sk-or", "-v1-[0-9a-f]{64}"),
    ("openai-key", "sk-proj", "-[A-Za-z0-9_-]{74}T3BlbkFJ[A-Za-z0-9_-]{74}"),
    ("api-key", "sk-", "[a-zA-Z0-9]{20}T3BlbkFJ[a-zA-Z0-9]{20}"),
    ("api-key", "sk-", "[a-f0-9]{32}"),
    ("google-key", "AIza", "[A-Za-z0-9_-]{35}"),
    ("groq-key", "gsk_", "[a-zA-Z0-9]{52}"),
    ("xai-key", "xai-", "[a-zA-Z0-9]{80}"),
    ("perplexity-key", "pplx-", "[a-zA-Z0-9]{48}"),
    ("replicate-token", "r8_", "[a-zA-Z0-9]{37}"),
    ("huggingface-token", "hf_", "[a-zA-Z]{34}"),
    ("github-token", "ghp_", "[0-9a-zA-Z]{36}"),
    ("github-token", "ghs_", "[0-9a-zA-Z]{36}"),
    ("github-token", "github_pat_", "[0-9a-zA-Z]{22}_[0-9a-zA-Z]{59}"),
    ("gitlab-token", "glpat-", "[0-9a-zA-Z]{20}"),
    ("gitlab-token", "glrt-", "[0-9a-zA-Z_-]{20}"),
    ("aws-key", "AKIA", "[A-Z2-7]{16}"),
    ("aws-key", "ASIA", "[A-Z2-7]{16}"),
    ("azure-secret", "", "[a-zA-Z0-9]{3}[0-9]Q~[a-zA-Z0-9_.-]{31}"),
    ("slack-token", "xoxb-", "[0-9]{12}-[0-9]{13}-[a-zA-Z0-9]{24}"),
    ("doppler-token", "dp.pt.", "[a-zA-Z0-9]{43}"),
    ("npm-token", "npm_", "[a-zA-Z0-9]{36}"),
    ("pypi-token", "pypi-AgEI", "cHlwaS5vcmc[a-zA-Z0-9_-]{60}"),
    ("rubygems-key", "rubygems_", "[a-f0-9]{48}"),
    ("docker-token", "dckr_pat_", "[a-zA-Z0-9_-]{27}"),
    ("stripe-key", "sk_live_", "[a-zA-Z0-9]{24}"),
    ("stripe-key", "rk_test_", "[a-zA-Z0-9]{24}"),
    ("sendgrid-key", "SG.", "[a-zA-Z0-9]{22}[.][a-zA-Z0-9]{43}"),
    ("mailgun-key", "key-", "[a-f0-9]{32}"),
    ("digitalocean-token", "dop_v1_", "[a-f0-9]{64}"),
    ("databricks-token", "dapi", "[a-f0-9]{32}"),
    ("linear-key", "lin_api_", "[a-zA-Z0-9]{40}"),
    ("notion-token", "ntn_", "[0-9]{11}[A-Za-z0-9]{35}"),
    ("shopify-token", "shpat_", "[a-f0-9]{32}"),
    ("grafana-token", "glsa_", "[A-Za-z0-9]{32}_[a-f0-9]{8}"),
    ("vault-token", "hvs.", "[a-zA-Z0-9_-]{95}"),
    ("pulumi-token", "pul-", "[a-f0-9]{40}"),
    ("sentry-token", "sntryu_", "[a-f0-9]{64}"),
    ("age-key", "AGE-SECRET-KEY-1", "[QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L]{58}"),
    ("jwt", "eyJ", "[a-zA-Z0-9]{30}[.]eyJ[a-zA-Z0-9_-]{60}[.][a-zA-Z0-9_-]{43}"),
];

fn shapes() -> Masker {
    Masker::new(&Config::default(), []).unwrap()
}

fn knowing(vars: &[(&str, &str)]) -> Masker {
    let vars = vars.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Masker::new(&Config::default(), vars).unwrap()
}

/// What comes out where the bytes come in pieces that end at these places.
fn streamed(masker: Masker, bytes: &[u8], cuts: &[usize]) -> Vec<u8> {
    let mut stream = Stream::new(Arc::new(masker));
    let mut out = Vec::new();
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    for ends in cuts.windows(2) {
        stream.push(&bytes[ends[0]..ends[1]], &mut |part| out.extend_from_slice(part));
    }
    stream.finish(&mut |part| out.extend_from_slice(part));
    out
}

/// A secret of any kind, and what is to stand in its place.
fn secret() -> impl Strategy<Value = (String, String)> {
    let kind = |(name, head, tail): (&'static str, &'static str, &'static str)| {
        let tail = string_regex(tail).unwrap();
        tail.prop_map(move |tail| (format!("{head}{tail}"), format!("[masked:{name}]")))
    };
    proptest::sample::select(&KINDS[..]).prop_flat_map(kind).prop_filter("no placeholder", |(secret, _)| {
        !["your", "YOUR", "EXAMPLE"].iter().any(|word| secret.contains(word))
    })
}

/// Text as programs print it.
fn ordinary() -> impl Strategy<Value = String> {
    const WORDS: [&str; 27] = [
        " ",
        "\n",
        "\r\n",
        "\r",
        "\t",
        "test result: ok. 12 passed",
        "task-1.2 ",
        "\u{1b}[32m",
        "input_tokens: 1200 ",
        "a secret: ",
        "password required ",
        "https://example.com/a:b ",
        "sk-",
        "ghp_",
        "AKIA ",
        "{\"type\":\"result\",\"x\":",
        "\\n",
        "key-value ",
        "-----BEGIN CERTIFICATE-----\n",
        "token = next()",
        "é→日本 ",
        "disk-usage ",
        "\"",
        "'",
        "=",
        ": ",
        "2400",
    ];
    let word = prop_oneof![proptest::sample::select(&WORDS[..]).prop_map(str::to_owned), ".{0,12}"];
    vec(word, 0..12).prop_map(|words| words.concat())
}

proptest! {
    #[test]
    fn no_secret_gets_out_wherever_the_stream_is_cut(
        parts in vec((ordinary(), secret(), proptest::sample::select(&[" ", "\n", "\"", "'", "\\n", "\r\n", ")", ";"][..])), 1..5),
        cuts in vec(any::<usize>(), 0..12),
    ) {
        let text = parts.iter().map(|(before, (secret, _), end)| format!("{before}{end}{secret}{end}")).collect::<Vec<_>>().concat();
        let out = String::from_utf8(streamed(shapes(), text.as_bytes(), &cuts)).unwrap();
        for (_, (secret, _), _) in &parts {
            prop_assert!(!out.contains(secret.as_str()), "{secret} is in {out:?}");
        }
        prop_assert_eq!(&*shapes().text(&text), out.as_str(), "in pieces or at once");
        prop_assert_eq!(&*shapes().text(&out), out.as_str(), "what is masked stays as it is");
        prop_assert_eq!(out.matches(['\n', '\r']).count(), text.matches(['\n', '\r']).count(), "line for line");
    }

    #[test]
    fn a_secret_alone_is_named_and_nothing_else_is_touched(
        before in "[a-z ]{0,30}\n?", (secret, masked) in secret(), after in "\n?[ ,;][a-z \n]{0,30}",
    ) {
        let text = format!("{before} {secret}{after}");
        prop_assert_eq!(shapes().text(&text).into_owned(), format!("{before} {masked}{after}"));
    }

    #[test]
    fn text_without_secrets_is_unchanged_byte_for_byte(
        bytes in prop_oneof![
            vec(any::<u8>(), 0..400),
            vec(prop_oneof!["[a-zA-Z_]{1,12}", "[ \t\n\r.,;(){}\\[\\]<>\"'-]{1,4}", Just("é→日".to_owned())], 0..60)
                .prop_map(|words| words.concat().into_bytes()),
        ],
        cuts in vec(any::<usize>(), 0..12),
    ) {
        let masker = knowing(&[("A_TOKEN", "Zx81-spectrum!"), ("B_KEY", "first line 1\nsecond line 2")]);
        prop_assert_eq!(streamed(masker, &bytes, &cuts), bytes);
    }

    #[test]
    fn no_configured_value_gets_out(
        value in "[!-~]{9,40}(\n[ -~]{0,40}){0,3}", before in "[a-z \n]{0,30}", indent in "[ >|]{0,6}",
        cuts in vec(any::<usize>(), 0..12),
    ) {
        let lines: Vec<&str> = value.trim().lines().map(str::trim).filter(|line| !is_plain(line) && !line.starts_with("-----")).collect();
        prop_assume!(!value.contains("://"));
        let printed = value.replace('\n', &format!("\n{indent}"));
        let json = serde_json::to_string(&value).unwrap();
        let text = format!("{before}{indent}{printed}\n{json}\n");
        let out = String::from_utf8(streamed(knowing(&[("MY_TOKEN", &value)]), text.as_bytes(), &cuts)).unwrap();
        for line in lines {
            prop_assert!(!out.contains(line), "{line:?} is in {out:?}");
            let escaped = serde_json::to_string(line).unwrap();
            prop_assert!(!out.contains(&escaped[1..escaped.len() - 1]), "{escaped} is in {out:?}");
        }
    }

    #[test]
    fn no_private_key_gets_out(
        kind in proptest::sample::select(&["", "RSA ", "EC ", "OPENSSH ", "ENCRYPTED "][..]),
        body in vec("[A-Za-z0-9+/]{64}", 1..6), last in "[A-Za-z0-9+/]{16,63}={0,2}",
        indent in proptest::sample::select(&["", "    ", "> ", "+"][..]), end in proptest::sample::select(&["\n", "\r\n"][..]),
        cuts in vec(any::<usize>(), 0..12),
    ) {
        let mut lines = vec![format!("-----BEGIN {kind}PRIVATE KEY-----")];
        lines.extend(body.clone());
        lines.push(last.clone());
        lines.push(format!("-----END {kind}PRIVATE KEY-----"));
        let block = lines.iter().map(|line| format!("{indent}{line}{end}")).collect::<Vec<_>>().concat();
        let escaped = lines.join("\\n");
        let numbered = lines.iter().enumerate().map(|(at, line)| format!("{:6}→{line}\\n", at + 1)).collect::<Vec<_>>().concat();
        let text = format!("before{end}{block}after{end}{{\"key\":\"{escaped}\"}}{end}{{\"text\":\"{numbered}\"}}{end}the end{end}");
        let out = String::from_utf8(streamed(shapes(), text.as_bytes(), &cuts)).unwrap();
        for secret in body.iter().chain([&last]) {
            prop_assert!(!out.contains(secret.trim_start_matches('+')), "{secret} is in {out}");
        }
        prop_assert_eq!(out.lines().count(), text.lines().count());
        let whole = format!("after{end}") ;
        prop_assert!(out.contains(&whole) && out.ends_with(&format!("the end{end}")), "{out}");
        prop_assert_eq!(shapes().find(text.as_bytes()).is_empty(), false);
    }
}

#[test]
fn a_line_of_any_length_costs_bounded_memory_and_hides_its_secrets() {
    let secret = format!("ghp_{}", "aB3dE6gH9j".repeat(4));
    let mut stream = Stream::new(Arc::new(shapes()));
    let mut out = Vec::new();
    let mut long = "x ".repeat(HOLD - 20);
    long += &secret;
    long += &" y".repeat(HOLD);
    long += &secret;
    let mut most = 0;
    for piece in long.as_bytes().chunks(16 * 1024) {
        stream.push(piece, &mut |part| out.extend_from_slice(part));
        most = most.max(stream.held.len());
    }
    stream.finish(&mut |part| out.extend_from_slice(part));
    assert!(most <= HOLD + 16 * 1024, "{most}");
    assert_eq!(String::from_utf8(out).unwrap(), long.replace(&secret, "[masked:github-token]"));
}

#[test]
fn assignments_and_headers() {
    let masker = shapes();
    for (text, masked) in [
        ("password=hunter2hunter2", "password=[masked:password]"),
        ("DB_PASSWORD: \"s3cr3t-enough\"", "DB_PASSWORD: \"[masked:password]\""),
        ("{\"client_secret\":\"a1b2c3d4e5\"}", "{\"client_secret\":\"[masked:password]\"}"),
        ("{\\\"access_token\\\": \\\"a1b2c3d4e5\\\"}", "{\\\"access_token\\\": \\\"[masked:password]\\\"}"),
        ("export FOO_TOKEN=abcdef123456", "export FOO_TOKEN=[masked:password]"),
        ("apiKey: 'abcdef123456'", "apiKey: '[masked:api-key]'"),
        ("Authorization: Basic dXNlcjpwYXNz", "Authorization: Basic [masked:authorization]"),
        ("curl -H 'authorization: Bearer abcdefghijkl'", "curl -H 'authorization: Bearer [masked:authorization]'"),
        ("sent Bearer abcdefghijklmnop1234", "sent Bearer [masked:bearer]"),
        ("postgres://app:s3cr3t@db:5432/x", "postgres://app:[masked:password]@db:5432/x"),
    ] {
        assert_eq!(masker.text(text), masked);
        assert_eq!(masker.find(text.as_bytes()), [], "not sure enough for a file: {text}");
    }
    for text in [
        "let password = read_password();",
        "token: String,",
        "password: required, at least 12 characters",
        "secret = os.environ[\"API_SECRET_2\"]",
        "password=$DB_PASSWORD1 token=${{ secrets.TOKEN1 }}",
        "\"usage\":{\"input_tokens\":12345678,\"output_tokens\":1}",
        "api_key_env = OPENAI_API_KEY_2",
        "http://localhost:8080/@scope/package",
        "the bearer of bad news",
        "task-0123456789abcdef0123456789abcdef",
        "sk-ant-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "-----BEGIN PRIVATE KEY----- is how it begins",
        "-----BEGIN PRIVATE KEY-----\nand then prose\n",
        "-----BEGIN PRIVATE KEY-----\n\nword\n",
    ] {
        assert_eq!(masker.text(text), text);
    }
}

#[test]
fn values_of_configured_variables_are_masked_by_their_names() {
    let vars = [
        ("DATABASE_URL", "postgres://app:pa55w0rd!@db/app"),
        ("DEPLOY_TOKEN", "tok-one-two"),
        ("LONGER_TOKEN", "tok-one-two-three"),
        ("SORT_KEY", "created"),
        ("TEST_PASSWORD", "postgres"),
        ("HOME_PAGE", "not-a-secret-1"),
        ("PLAIN_DATABASE_URL", "postgres://localhost/app"),
    ];
    let text = "at postgres://app:pa55w0rd!@db/app or pa55w0rd! with tok-one-two, tok-one-two-three, created, postgres, \
                not-a-secret-1, postgres://localhost/app";
    assert_eq!(
        knowing(&vars).text(text),
        "at [masked:DATABASE_URL] or [masked:DATABASE_URL] with [masked:DEPLOY_TOKEN], [masked:LONGER_TOKEN], created, \
         postgres, not-a-secret-1, postgres://localhost/app"
    );
    let off = Config { on: false, ..Config::default() };
    let vars = vars.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(Masker::new(&off, vars).unwrap().text(text), text);
}

#[test]
fn names_of_variables() {
    for (pattern, name, means) in [
        ("*_TOKEN", "GH_TOKEN", true),
        ("*_TOKEN", "GH_TOKENS", false),
        ("TOKEN", "GH_TOKEN", false),
        ("*DATABASE_URL", "DATABASE_URL", true),
        ("A*B*C", "AxBBC", true),
        ("A*B*C", "AxC", false),
        ("AB*BA", "ABA", false),
        ("*", "ANY", true),
    ] {
        assert_eq!(matches_name(pattern, name), means, "{pattern} {name}");
    }
}

#[test]
fn patterns_of_the_configuration() {
    let patterns = vec![r"ACME-\d{6}".to_owned(), r"pin (\d{4})\b".to_owned()];
    let masker = Masker::new(&Config { patterns, ..Config::default() }, []).unwrap();
    assert_eq!(
        masker.text("a\nACME-123456 pin 1234 é\nACME-12"),
        "a\n[masked:pattern] pin [masked:pattern] é\nACME-12"
    );
    assert_eq!(masker.find(b"a\nACME-123456\n").first().map(|it| (it.line, it.kind)), Some((2, "configured secret")));
    assert!(check_pattern("(").is_err());
}

#[test]
fn what_is_found_in_a_file_says_where_and_can_be_allowed() {
    let (token, key) = (format!("ghp_{}", "aB3dE6gH9j".repeat(4)), "Q".repeat(3) + &"aB3dE6gH9j".repeat(6));
    let file = format!(
        "one\ntoken = \"{token}\"\nallowed = \"{token}\" # spec:allow-secret\n-----BEGIN PRIVATE KEY-----\n{key}\n\
         -----END PRIVATE KEY-----\npassword=hunter2hunter2\n"
    );
    let masker = shapes();
    let found: Vec<_> = masker.find(file.as_bytes()).iter().map(|it| (it.line, it.kind)).collect();
    assert_eq!(found, [(2, "github-token"), (5, "private-key")]);
}

#[test]
fn every_shape_is_a_regular_expression_that_its_words_are_in() {
    for shape in SHAPES {
        assert!(regex(shape.pattern).is_ok(), "{}", shape.name);
    }
    assert!([KEY_BEGINS, KEY_BODY].iter().all(|pattern| regex(pattern).is_ok()));
}
