//! What a line of the audit looks like, as a JSON Schema: `cutover audit schema` prints it.

use serde_json::{Map, Value, json};

use crate::model::chain::{CLOSED, RESUMED};

/// An event of the audit, when it is written, and what its `data` says: names with their types
/// in JSON, and what they are.
type Row = (&'static str, &'static str, &'static [Field]);

type Field = (&'static str, &'static [&'static str], &'static str);

const TEXT: &[&str] = &["string"];
const MAYBE: &[&str] = &["string", "null"];
const NUMBER: &[&str] = &["number"];
/// A number in which the vault may have found a secret is a text.
const ANY: &[&str] = &["object", "string", "number", "boolean", "null"];

const STEP: &[Field] = &[
    ("step", TEXT, "the step's short name, such as deploy"),
    ("said", TEXT, "what it did or saw"),
    ("took-ms", NUMBER, "how long it took"),
];
const SAID: &[Field] = &[("said", TEXT, "what was said")];

/// All events, in the order in which they turn up.
pub const EVENTS: &[Row] = &[
    (
        "began",
        "the run begins",
        &[
            ("version", MAYBE, "the release that it is about"),
            ("strategy", MAYBE, "the strategy of a rollout"),
        ],
    ),
    ("step-done", "a step ended well", STEP),
    ("step-failed", "a step failed", STEP),
    (
        "checked",
        "a check came to its result; under watch, whenever its result changes",
        &[
            ("check", TEXT, "the check"),
            (
                "passed",
                &["boolean", "null"],
                "whether it passed; null where it was skipped",
            ),
            ("said", TEXT, "what the last look saw"),
            ("wanted", MAYBE, "what it should have seen"),
        ],
    ),
    (
        "compared",
        "an environment of GitHub was held against the config",
        &[
            ("environment", TEXT, "the environment"),
            (
                "differences",
                &["array"],
                "each key that differs, with what GitHub has and what the config wants",
            ),
            (
                "read-back",
                &["boolean"],
                "whether it was read back after a change",
            ),
        ],
    ),
    (
        "changed",
        "something was changed",
        &[
            (
                "what",
                TEXT,
                "traffic, the release in a slot, or a key of an environment at GitHub",
            ),
            ("before", MAYBE, "what it was; null where nobody could say"),
            ("after", TEXT, "what it is now"),
        ],
    ),
    (
        "judged",
        "figures were judged, and decided what follows",
        &[
            ("step", TEXT, "the step that judged"),
            (
                "verdict",
                TEXT,
                "healthy, unhealthy, inconclusive or unknown",
            ),
            ("said", TEXT, "the figures with their limits"),
            ("figures", &["object"], "the figures as numbers"),
        ],
    ),
    (
        "figure",
        "a figure was read, and held against its threshold if it has one",
        &[
            ("metric", TEXT, "the metric"),
            ("source", TEXT, "where it comes from"),
            ("state", TEXT, "healthy, unhealthy, inconclusive or unknown"),
            (
                "value",
                &["number", "null"],
                "the value: a share of 1, seconds, or a number",
            ),
            ("unit", TEXT, "percent, duration or number"),
            ("limit", MAYBE, "the limit, with its duration"),
            ("severity", MAYBE, "how much the limit matters"),
            ("said", TEXT, "the value with its limit"),
        ],
    ),
    (
        "anomaly",
        "a metric is not as it always is at this time",
        &[
            ("metric", TEXT, "the metric"),
            ("unit", TEXT, "percent, duration or number"),
            (
                "measured",
                NUMBER,
                "the median of the last window: a share of 1, seconds, or a number",
            ),
            ("expected", NUMBER, "what it is when all is well"),
            ("threshold", NUMBER, "from here on it is unusual"),
            (
                "p-value",
                NUMBER,
                "the share of windows that are as unusual when nothing is wrong",
            ),
            ("severity", NUMBER, "from 0 to 100"),
            ("grade", TEXT, "low, medium, high or critical"),
            (
                "before-deployment",
                &["boolean"],
                "whether it began before the deployment",
            ),
            ("said", TEXT, "all of that in a line"),
        ],
    ),
    (
        "glanced",
        "both arms of a canary were looked at",
        &[
            (
                "at",
                NUMBER,
                "seconds since the canary got its first traffic",
            ),
            ("from", NUMBER, "the same at the beginning of the interval"),
            ("step", NUMBER, "the step of the ladder, from 1"),
            ("steps", NUMBER, "how many steps there are"),
            (
                "weight",
                NUMBER,
                "the canary's share of traffic, in percent",
            ),
            (
                "verdict",
                TEXT,
                "rollback, warn, safe, inconclusive or no-data",
            ),
            ("said", TEXT, "why"),
            ("canary", &["object"], "what the canary did"),
            ("stable", &["object"], "what the stable release did"),
            ("errors", &["object"], "what is proved of errors"),
            ("latency", &["object"], "what is proved of slow requests"),
            ("ln-bar", NUMBER, "the bar for \"worse\", as a logarithm"),
            ("ln-safe-bar", NUMBER, "the bar for \"within the limits\""),
            (
                "p95-ratio",
                &["number", "null"],
                "the ratio of the 95th percentiles, where the source itself says it",
            ),
            (
                "judge",
                &["object", "null"],
                "what the judge knew before this look, where that does not follow from the one before",
            ),
        ],
    ),
    (
        "stands",
        "a canary stays where it is, and the next run goes on with it",
        &[
            ("release", TEXT, "the release"),
            ("slot", TEXT, "its slot"),
            ("weight", NUMBER, "its share of traffic, in percent"),
            (
                "waits",
                &["boolean"],
                "whether it waits for somebody to allow the next step; else it is held",
            ),
            (
                "state",
                &["object"],
                "what is known of it, for the next run",
            ),
        ],
    ),
    (
        "measured",
        "a switch was measured",
        &[("receipt", &["object"], "the receipt")],
    ),
    (
        "learned",
        "a name or a figure became known",
        &[
            ("name", TEXT, "as the output of that name"),
            ("value", ANY, "its value"),
        ],
    ),
    ("noticed", "worth knowing, and nothing is wrong", SAID),
    ("warned", "wrong, and it does not change the verdict", SAID),
    (
        "wrong",
        "the inputs or the config are wrong",
        &[
            ("file", MAYBE, "the file"),
            ("line", &["number", "null"], "the line in it"),
            ("said", TEXT, "what is wrong"),
        ],
    ),
    (
        "ended",
        "the run is over",
        &[
            ("decision", TEXT, "as the output"),
            ("reason-code", TEXT, "as the output"),
            ("exit-code", NUMBER, "the exit code"),
            ("said", TEXT, "how it ended"),
            ("measured", MAYBE, "what was seen"),
            ("wanted", MAYBE, "what should have been seen"),
            ("traffic", MAYBE, "where traffic is"),
            ("next", MAYBE, "what to do next"),
        ],
    ),
    (
        RESUMED,
        "the run before left no end",
        &[
            ("after", NUMBER, "the number of its last line"),
            ("said", TEXT, "why that may be"),
        ],
    ),
    (CLOSED, "the last line of a run", &[]),
];

/// The fields of every line, in their order, with their types and what they are.
pub const FIELDS: &[Field] = &[
    ("seq", NUMBER, "the line's number, from 1"),
    (
        "previous",
        TEXT,
        "the SHA-256 of the line before, in hex; 64 zeros in the first",
    ),
    ("event", TEXT, "what happened"),
    ("at", TEXT, "when: RFC 3339, UTC, with milliseconds"),
    ("app", TEXT, "the application"),
    ("environment", TEXT, "the environment"),
    ("mode", TEXT, "the mode"),
    (
        "actor",
        MAYBE,
        "who caused the run; at a terminal, who is logged in",
    ),
    ("triggering-actor", MAYBE, "who caused this attempt"),
    ("repository", MAYBE, "owner/name"),
    ("run-id", &["number", "null"], "the run"),
    ("run-attempt", &["number", "null"], "which attempt of it"),
    ("job", MAYBE, "the job"),
    ("runner", MAYBE, "the runner's name"),
    ("branch", MAYBE, "the branch or tag"),
    ("sha", MAYBE, "the commit"),
    ("data", &["object"], "what the event says"),
    (
        "schema_version",
        NUMBER,
        "the version of this form; it is 1",
    ),
];

/// The fields that only the last line has.
pub const LAST_FIELDS: &[Field] = &[
    (
        "count",
        NUMBER,
        "how many lines the file has, this one included",
    ),
    (
        "seal",
        TEXT,
        "the SHA-256 of this line up to its seal, in hex",
    ),
];

/// The schema of a line.
pub fn schema() -> Value {
    let mut all = properties(FIELDS);
    all.extend(properties(LAST_FIELDS));
    let names: Vec<&str> = EVENTS.iter().map(|(name, _, _)| *name).collect();
    all.insert("event".to_owned(), json!({ "enum": names }));
    let of_event = |(name, about, data): &Row| {
        let mut says = object(data);
        says["description"] = (*about).into();
        json!({
            "if": { "properties": { "event": { "const": name } } },
            "then": {
                "properties": { "data": says },
                "required": if *name == CLOSED { names_of(LAST_FIELDS) } else { Vec::new() },
            },
        })
    };
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "a line of cutover's audit",
        "type": "object",
        "properties": all,
        "required": names_of(FIELDS),
        "additionalProperties": false,
        "allOf": EVENTS.iter().map(of_event).collect::<Vec<_>>(),
    })
}

fn object(fields: &[Field]) -> Value {
    json!({
        "type": "object",
        "properties": properties(fields),
        "required": names_of(fields),
        "additionalProperties": false,
    })
}

fn properties(fields: &[Field]) -> Map<String, Value> {
    let property = |(name, types, about): &Field| {
        let types = match types {
            [only] => json!(only),
            several => json!(several),
        };
        (
            (*name).to_owned(),
            json!({ "type": types, "description": about }),
        )
    };
    fields.iter().map(property).collect()
}

fn names_of(fields: &[Field]) -> Vec<&'static str> {
    fields.iter().map(|(name, _, _)| *name).collect()
}
