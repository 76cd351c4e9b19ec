//! The bytes that a signature is over: OLPC canonical JSON, as `securesystemslib` writes it.
//!
//! Keys are sorted, there is no white space, and in text only `"` and `\` are escaped: every other
//! character, control characters too, stands for itself. Such bytes are to be hashed and signed,
//! not to be parsed.

use super::json::Json;

/// The canonical form of `value`.
#[must_use]
pub fn to_canonical(value: &Json) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(value, &mut bytes);
    bytes
}

fn write(value: &Json, out: &mut Vec<u8>) {
    match value {
        Json::Null => out.extend(b"null"),
        Json::Bool(true) => out.extend(b"true"),
        Json::Bool(false) => out.extend(b"false"),
        Json::Int(number) => out.extend(number.to_string().as_bytes()),
        Json::String(text) => write_text(text, out),
        Json::Array(values) => list(values, *b"[]", out, write),
        Json::Object(fields) => list(fields, *b"{}", out, |(key, value), out| {
            write_text(key, out);
            out.push(b':');
            write(value, out);
        }),
    }
}

fn list<T>(
    items: impl IntoIterator<Item = T>,
    [open, close]: [u8; 2],
    out: &mut Vec<u8>,
    write_item: impl Fn(T, &mut Vec<u8>),
) {
    out.push(open);
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_item(item, out);
    }
    out.push(close);
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text.bytes() {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn canonical(text: &str) -> String {
        String::from_utf8(to_canonical(&Json::parse(text.as_bytes()).unwrap())).unwrap()
    }

    /// The vectors of securesystemslib's own tests, and what it answers to a few more.
    #[test]
    fn known_vectors() {
        assert_eq!(canonical("[1, 2, 3]"), "[1,2,3]");
        assert_eq!(canonical("[]"), "[]");
        assert_eq!(canonical("{}"), "{}");
        assert_eq!(canonical(r#"{"A": [99]}"#), r#"{"A":[99]}"#);
        assert_eq!(canonical(r#"{"x": 3, "y": 2}"#), r#"{"x":3,"y":2}"#);
        assert_eq!(canonical(r#"{"x": 3, "y": null}"#), r#"{"x":3,"y":null}"#);
        assert_eq!(canonical(r#"["\u0001\n\t\"\\/é"]"#), "[\"\u{1}\n\t\\\"\\\\/é\"]");
        assert_eq!(
            canonical(r#"{"\uffff":1,"\ud800\udc00":2}"#),
            "{\"\u{ffff}\":1,\"\u{10000}\":2}"
        );
    }

    fn values() -> impl Strategy<Value = Json> {
        let leaf = prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(Json::Bool),
            any::<i64>().prop_map(Json::Int),
            any::<String>().prop_map(Json::String),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Json::Array),
                prop::collection::btree_map(any::<String>(), inner, 0..6).prop_map(Json::Object),
            ]
        })
    }

    proptest! {
        #[test]
        fn text_does_not_matter(value in values()) {
            let pretty = serde_json::to_vec_pretty(&value).unwrap();
            let again = Json::parse(&pretty).unwrap();
            prop_assert_eq!(&again, &value);
            prop_assert_eq!(to_canonical(&again), to_canonical(&value));
        }

        #[test]
        fn different_values_differ(a in values(), b in values()) {
            prop_assert_eq!(a == b, to_canonical(&a) == to_canonical(&b));
        }

        #[test]
        fn any_bytes_are_handled(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Json::parse(&bytes);
        }
    }
}
