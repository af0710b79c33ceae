//! What secrets look like: the shapes of well-known providers' keys, after the rules that gitleaks keeps, and a few looser
//! ones for output only.
//!
//! A shape has words that stand in every text it matches, so that text without any of them is never looked at closely.

/// One shape.
pub(super) struct Shape {
    /// What stands in place of it: `[masked:NAME]`.
    pub(super) name: &'static str,
    /// Every match has one of these, so many bytes behind its beginning.
    pub(super) words: &'static [&'static str],
    /// See `words`.
    pub(super) behind: usize,
    /// It is never in the middle of a word.
    pub(super) word: bool,
    /// The shape from its beginning on, within a line and without Unicode; its first group, where it has one, is the secret.
    pub(super) pattern: &'static str,
    /// What else must be true of the secret.
    pub(super) check: fn(&[u8]) -> bool,
    /// Sure enough to keep a task from landing. The others hit test data, too.
    pub(super) sure: bool,
}

/// The name of private keys, whose blocks are followed over lines.
pub(super) const PRIVATE_KEY: &str = "private-key";

/// A private key that stands on one line, as in JSON; the body is the secret. Numbers of lines may stand in it.
pub(super) const KEY_ON_A_LINE: &str = concat!(
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----",
    r"((?:\\+[nrt]|\xE2\x86\x92|[0-9 ])*(?:[A-Za-z0-9+/]{16,}|(?:Proc-Type|DEK-Info|Version|Comment): )",
    // What else stands in there, up to the end where there is one.
    r"(?:(?:\\+[nrt]|\xE2\x86\x92|-?[A-Za-z0-9+/=:,. ])*))",
);

/// The beginning of a private key whose body is on the lines below it.
pub(super) const KEY_BEGINS: &str = r#"^-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----[\s"'\\,;+n]*$"#;

/// A line of such a body, perhaps behind its number or a mark of quoting.
pub(super) const KEY_BODY: &str = concat!(
    r#"^\s*(?:[0-9]+(?:\s|[:|]|\xE2\x86\x92)\s*|[>|#*"'+\-]+\s*)?"#,
    r#"(?:(?:Proc-Type|DEK-Info|Version|Comment): (.*)|([A-Za-z0-9+/]{4,}={0,2}|=[A-Za-z0-9+/]{4}))?[\s"'\\,;+]*$"#,
);

/// All shapes.
pub(super) const SHAPES: &[Shape] = &[
    sure("anthropic-key", &["sk-ant-"], r"sk-ant-[A-Za-z0-9_\-]{20,}"),
    sure("openrouter-key", &["sk-or-v1-"], r"sk-or-v1-[0-9a-f]{32,}"),
    sure("openai-key", &["sk-proj-", "sk-svcacct-", "sk-admin-"], r"sk-(?:proj|svcacct|admin)-[A-Za-z0-9_\-]{20,}"),
    // Several providers.
    word("api-key", &["sk-"], r"sk-[A-Za-z0-9]{32,}"),
    sure("google-key", &["AIza", "GOCSPX-", "ya29."], r"AIza[\w\-]{35}|GOCSPX-[\w\-]{28}|ya29\.[\w\-]{20,}"),
    sure("groq-key", &["gsk_"], r"gsk_[A-Za-z0-9]{40,}"),
    sure("xai-key", &["xai-"], r"xai-[A-Za-z0-9]{60,}"),
    sure("perplexity-key", &["pplx-"], r"pplx-[A-Za-z0-9]{40,}"),
    word("replicate-token", &["r8_"], r"r8_[A-Za-z0-9]{37,}"),
    word("huggingface-token", &["hf_", "api_org_"], r"(?:hf|api_org)_[A-Za-z0-9]{34,}"),
    sure(
        "github-token",
        &["ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"],
        r"gh[pousr]_[A-Za-z0-9]{36,}|github_pat_\w{60,}",
    ),
    sure(
        "gitlab-token",
        &[
            "glpat-",
            "gldt-",
            "glptt-",
            "glrt-",
            "glcbt-",
            "glft-",
            "glimt-",
            "glagent-",
            "gloas-",
            "glsoat-",
            "glffct-",
            "GR1348941",
        ],
        r"gl(?:pat|dt|ptt|rt|cbt|ft|imt|agent|oas|soat|ffct)-[\w\-]{20,}(?:\.[\w]+)*|GR1348941[\w\-]{20,}",
    ),
    word("aws-key", &["AKIA", "ASIA", "ABIA", "ACCA"], r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}\b"),
    sure(
        "aws-secret",
        &["aws_secret", "AWS_SECRET", "awsSecret", "SecretAccessKey", "secretAccessKey", "aws_session", "AWS_SESSION"],
        concat!(
            r"(?i)(?:aws_?secret_?(?:access_?)?key|secretaccesskey|aws_session_token)",
            r#"["'\\]*\s*[=:]+>?\s*["'\\]*([A-Za-z0-9/+=]{40,})"#,
        ),
    ),
    Shape { behind: 4, ..sure("azure-secret", &["Q~"], r"[\w~.]{3}\dQ~[\w~.\-]{31,34}") },
    sure("azure-key", &["AccountKey="], r"AccountKey=([A-Za-z0-9+/]{40,}={0,2})"),
    sure(
        "slack-token",
        &["xoxa-", "xoxb-", "xoxe-", "xoxe.", "xoxo-", "xoxp-", "xoxr-", "xoxs-", "xapp-"],
        r"xox[aboprse](?:\.xox[bp])?-\d[A-Za-z0-9\-]{10,}|xapp-\d-[A-Z0-9]+-\d+-[a-z0-9]+",
    ),
    sure(
        "slack-webhook",
        &["hooks.slack.com/"],
        r"hooks\.slack\.com/(?:services|workflows|triggers)/([A-Za-z0-9+/]{40,})",
    ),
    sure(
        "discord-webhook",
        &["discord.com/api/webhooks/", "discordapp.com/api/webhooks/"],
        r"discord(?:app)?\.com/api/webhooks/(\d{16,}/[\w\-]{40,})",
    ),
    sure("npm-token", &["npm_"], r"npm_[A-Za-z0-9]{36,}"),
    sure("pypi-token", &["pypi-AgEIcHlwaS5vcmc"], r"pypi-AgEIcHlwaS5vcmc[\w\-]{50,}"),
    sure("rubygems-key", &["rubygems_"], r"rubygems_[a-f0-9]{48}"),
    sure("docker-token", &["dckr_pat_"], r"dckr_pat_[\w\-]{27,}"),
    sure(
        "stripe-key",
        &["sk_live_", "sk_test_", "sk_prod_", "rk_live_", "rk_test_", "rk_prod_", "whsec_"],
        r"(?:[sr]k_(?:live|test|prod)|whsec)_[A-Za-z0-9]{16,}",
    ),
    sure("sendgrid-key", &["SG."], r"SG\.[\w\-]{16,32}\.[\w\-]{16,64}"),
    word("mailgun-key", &["key-"], r"key-[a-f0-9]{32}\b"),
    sure("digitalocean-token", &["doo_v1_", "dop_v1_", "dor_v1_"], r"do[opr]_v1_[a-f0-9]{64}"),
    word("databricks-token", &["dapi"], r"dapi[a-f0-9]{32}(?:-\d)?"),
    sure("linear-key", &["lin_api_"], r"lin_api_[A-Za-z0-9]{40}"),
    word("notion-token", &["ntn_"], r"ntn_[A-Za-z0-9]{40,}"),
    sure("postman-key", &["PMAK-"], r"PMAK-[A-Za-z0-9]{24}-[A-Za-z0-9]{34}"),
    sure("shopify-token", &["shpat_", "shpca_", "shppa_", "shpss_"], r"shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}"),
    sure(
        "grafana-token",
        &["glc_", "glsa_", "eyJrIjoi"],
        r"glc_[A-Za-z0-9+/]{32,}={0,2}|glsa_[A-Za-z0-9]{32}_[A-Fa-f0-9]{8}|eyJrIjoi[A-Za-z0-9]{70,}={0,2}",
    ),
    sure("vault-token", &["hvs.", "hvb."], r"hv[sb]\.[\w\-]{90,}"),
    sure("doppler-token", &["dp.pt.", "dp.st.", "dp.ct."], r"dp\.(?:pt|st|ct)\.[\w.\-]{40,}"),
    word("pulumi-token", &["pul-"], r"pul-[a-f0-9]{40}"),
    Shape { behind: 14, ..sure("terraform-token", &[".atlasv1."], r"[A-Za-z0-9]{14}\.atlasv1\.[\w=\-]{60,}") },
    sure("sentry-token", &["sntrys_", "sntryu_"], r"sntrys_[A-Za-z0-9+/=_]{40,}|sntryu_[a-f0-9]{64}"),
    sure("planetscale-token", &["pscale_"], r"pscale_(?:tkn|oauth|pw)_[\w=.\-]{32,}"),
    sure("fly-token", &["fo1_", "fm1a_", "fm1r_", "fm2_"], r"fo1_[\w\-]{43}|fm(?:1[ar]|2)_[A-Za-z0-9+/]{100,}={0,3}"),
    sure("heroku-key", &["HRKU-AA"], r"HRKU-AA[\w\-]{58}"),
    sure("age-key", &["AGE-SECRET-KEY-1"], r"AGE-SECRET-KEY-1[QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L]{58}"),
    Shape { check: any, ..sure(PRIVATE_KEY, &["-----BEGIN "], KEY_ON_A_LINE) },
    loose("jwt", &["eyJ"], r"eyJ[\w\-]{15,}\.eyJ[\w\-]{15,}\.[\w\-]{10,}", any),
    loose(
        "authorization",
        &["authorization", "Authorization", "AUTHORIZATION"],
        r#"(?i)authorization["'\\]*\s*[:=]\s*["'\\]*(?:basic|token|bearer|apikey)\s+([\w.~+/=\-]{8,})"#,
        any,
    ),
    loose("bearer", &["bearer ", "Bearer ", "BEARER "], r"(?i)bearer +([\w.~+/=\-]{16,})", mixed),
    loose("password", &["://"], r#"://[^\s/:@"'<>]{0,100}:([^\s/@"'<>${}*\[\]]{3,200})@"#, any),
    loose(
        "password",
        &[
            "passw",
            "Passw",
            "PASSW",
            "passphrase",
            "Passphrase",
            "PASSPHRASE",
            "secret",
            "Secret",
            "SECRET",
            "token",
            "Token",
            "TOKEN",
            "credential",
            "Credential",
            "CREDENTIAL",
        ],
        concat!(
            r"(?i)(?:passw(?:or)?d|passphrase|secret|token|credential)s?[a-z0-9_]{0,20}",
            r#"["'\\]{0,3}\s{0,3}(?:=>|:=|[=:])\s{0,3}["'`\\]{0,3}([\w\-+/=.~!@#%^&]{8,})"#,
        ),
        mixed,
    ),
    loose(
        "api-key",
        &[
            "api_key", "API_KEY", "Api_Key", "api-key", "API-KEY", "Api-Key", "API-Key", "apikey", "apiKey", "ApiKey",
            "APIKey", "APIKEY",
        ],
        concat!(
            r"(?i)api[_\-]?key[a-z0-9_]{0,20}",
            r#"["'\\]{0,3}\s{0,3}(?:=>|:=|[=:])\s{0,3}["'`\\]{0,3}([\w\-+/=.~!@#%^&]{8,})"#,
        ),
        mixed,
    ),
];

const fn sure(name: &'static str, words: &'static [&'static str], pattern: &'static str) -> Shape {
    Shape { name, words, behind: 0, word: false, pattern, check: lively, sure: true }
}

/// The same, and never in the middle of a word (`task-`).
const fn word(name: &'static str, words: &'static [&'static str], pattern: &'static str) -> Shape {
    Shape { word: true, ..sure(name, words, pattern) }
}

const fn loose(
    name: &'static str,
    words: &'static [&'static str],
    pattern: &'static str,
    check: fn(&[u8]) -> bool,
) -> Shape {
    Shape { check, sure: false, ..sure(name, words, pattern) }
}

fn any(_: &[u8]) -> bool {
    true
}

/// No placeholder: neither `sk-ant-xxxxxxxx` nor `sk-ant-your-key`, nor the keys of AWS' own documentation.
fn lively(secret: &[u8]) -> bool {
    let end = &secret[secret.len().saturating_sub(32)..];
    let mut seen = [false; 256];
    for &byte in end {
        seen[usize::from(byte)] = true;
    }
    let placeholders = ["EXAMPLE", "your-", "your_", "YOUR-", "YOUR_"];
    let has = |word: &str| memchr::memmem::find(secret, word.as_bytes()).is_some();
    seen.iter().filter(|&&seen| seen).count() >= 6 && !placeholders.iter().any(|word| has(word))
}

/// Letters and digits, as a made-up word has, and no `NAME_OF_A_VARIABLE`.
fn mixed(value: &[u8]) -> bool {
    let has = |what: fn(&u8) -> bool| value.iter().any(what);
    let constant = has(|&byte| byte == b'_')
        && value.iter().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b'_');
    has(u8::is_ascii_digit) && has(u8::is_ascii_alphabetic) && !constant
}
