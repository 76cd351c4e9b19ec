//! What templates make, and what they cannot do.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

fn template(text: &str) -> Result<Template, TemplateError> {
    Template::parse(&"etc/app.ini.j2".parse().unwrap(), text.as_bytes())
}

fn values() -> Values {
    let mut values = Values::default();
    values.set("workers", &Value::Integer(4));
    values.set("debugging", &Value::Boolean(false));
    values.set("hosts", &Value::List(vec!["a".to_owned(), "b".to_owned()]));
    values.set_text("greeting", "<hello> & \"you\"");
    values.set_none("proxy");
    values
}

fn render(text: &str) -> Result<String, TemplateError> {
    template(text)?.render(&values())
}

#[test]
fn values_are_put_in() {
    for (text, expected) in [
        ("workers = {{ workers }}\n", "workers = 4\n"),
        ("{% if proxy %}proxy = {{ proxy }}\n{% endif %}x\n", "x\n"),
        ("{% for host in hosts %}\n{{ loop.index }} {{ host }}\n{% endfor %}\n", "1 a\n2 b\n"),
        ("{{ greeting }}", "<hello> & \"you\""),
        ("{{ greeting | tojson }}", r#""\u003chello\u003e \u0026 \"you\"""#),
        ("{{ hosts | join(', ') }}{{ debugging }}", "a, bfalse"),
        ("{# nothing #}", ""),
    ] {
        let rendered = render(text);
        assert_eq!(rendered.as_deref(), Ok(expected), "{text}");
    }
}

#[test]
fn mistakes_are_named_with_their_line() {
    for (text, message) in [
        ("a\n{{ workers", "template etc/app.ini.j2 line 2: syntax error: unexpected end of input"),
        ("{% include 'etc/other' %}", "line 1: syntax error: unknown statement include"),
        ("{% import 'x' as y %}", "syntax error: unknown statement import"),
        ("{% extends 'x' %}", "syntax error: unknown statement extends"),
        ("a\nb\n{{ workers.nothing.at_all }}", "line 3: undefined value"),
        ("{{ debug() }}", "line 1: unknown function: debug is unknown"),
        ("{{ namespace() }}", "line 1: unknown function: namespace is unknown"),
        ("{{ workers | shell }}", "line 1: unknown filter: filter shell is unknown"),
    ] {
        let error = render(text).unwrap_err().to_string();
        assert!(error.contains(message), "{text}\n{error}");
    }
    let error = Template::parse(&"x".parse().unwrap(), b"a\n\xff").unwrap_err().to_string();
    assert_eq!(error, "template x line 2: it is not UTF-8");
}

#[test]
fn names_are_those_that_come_from_outside() {
    let text =
        "{% set a = workers %}{% for h in hosts %}{{ h ~ a }}{% endfor %}\n{{ range(wrokers) }}";
    let template = template(text).unwrap();
    let names: Vec<&str> = template.names().iter().map(String::as_str).collect();
    assert_eq!(names, ["hosts", "workers", "wrokers"]);
    let error = template.check_names(|name| name != "wrokers").unwrap_err().to_string();
    assert_eq!(error, "template etc/app.ini.j2 line 2: `wrokers` is no input of the release");
}

/// What a template does with what it was not given, it does without.
#[test]
fn nothing_else_is_seen() {
    for text in ["{{ missing }}", "{% if missing %}{% endif %}", "{{ self }}", "{{ env }}"] {
        assert!(render(text).is_err(), "{text}");
    }
}

#[test]
fn a_secret_is_not_repeated_by_an_error() {
    let mut values = Values::default();
    values.set_text("password", "hunter2");
    let error = template("{{ password | int }}").unwrap().render(&values).unwrap_err();
    assert!(!error.clone().discreet().to_string().contains("hunter2"), "{error}");
    assert!(!format!("{values:?}").contains("hunter2"));
}

/// However little text a bomb has, what it takes is bounded: seconds, and never the stack.
#[test]
fn bombs_go_out() {
    let nested = |open: &str, close: &str, times: usize| {
        format!("{}1{}", open.repeat(times), close.repeat(times))
    };
    let doubling = format!("{{% set x = 'aaaaaaaa' %}}{}", "{% set x = x ~ x %}".repeat(99));
    let bombs = [
        "{% for a in range(9999) %}{% for b in range(9999) %}{% for c in range(9999) %}{% endfor %}{% endfor %}{% endfor %}".to_owned(),
        "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}".to_owned(),
        format!("{{% for a in range(40) %}}{}{{% endfor %}}", "x".repeat(60_000)),
        doubling,
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}".to_owned(),
        "{% macro f(n) %}{{ f(n + 1) }}{{ f(n + 1) }}{% endmacro %}{{ f(0) }}".to_owned(),
        "{{ 'x' * 1000000000 }}".to_owned(),
        "{{ [1] * 1000000000 }}".to_owned(),
        "{{ 2 ** 99999999 }}".to_owned(),
        "{{ 'x' | indent(1000000000) }}{{ 'a\nb' | indent(1000000000) }}".to_owned(),
        "{{ '%999999999d' | format(1) }}".to_owned(),
        "{{ range(10000) | batch(100000000, 'x') | list }}".to_owned(),
        "{{ range(10000) | slice(100000000) | list }}".to_owned(),
        "{{ ('x' * 9000) | replace('x', 'y' * 9000) | replace('y', 'z' * 9000) }}".to_owned(),
        format!("{{{{ {} }}}}", nested("(", ")", 20_000)),
        format!("{{{{ {} }}}}", nested("[", "]", 20_000)),
        format!("{{{{ {} }}}}", nested("not ", "", 10_000)),
        format!("{{{{ {} }}}}", nested("-", "", 40_000)),
        format!("{{{{ workers{} }}}}", "|abs".repeat(15_000)),
        format!("{{{{ workers{} }}}}", "[0]".repeat(20_000)),
        format!("{{{{ workers{} }}}}", ".a".repeat(30_000)),
        format!("{{{{ workers{} }}}}", "()".repeat(30_000)),
        format!("{{{{ workers{} }}}}", "+1".repeat(30_000)),
        format!("{{{{ workers{} }}}}", "~1".repeat(30_000)),
        format!("{{{{ workers{} }}}}", "**1".repeat(20_000)),
        format!("{{{{ workers{} }}}}", " and 1".repeat(9_000)),
        format!("{{{{ workers{} }}}}", " if 1 else 2".repeat(5_000)),
        format!("{{{{ workers{} }}}}", " is defined".repeat(5_000)),
        format!("{{{{ 1{} }}}}", "<1".repeat(30_000)),
        format!("{}{}", "{% if 1 %}".repeat(3_000), "{% endif %}".repeat(3_000)),
        format!("{{% if 1 %}}{}", "{% elif 1 %}".repeat(5_000)),
        format!("{}{}", "{% for a in [1] %}".repeat(1_900), "{% endfor %}".repeat(1_900)),
        format!("{{% set x = [] %}}{}{{{{ x }}}}", "{% set x=[x] %}".repeat(1_200)),
        format!("{{% set x = [] %}}{}", "{% set x=[[[[[[[[[[x]]]]]]]]]] %}".repeat(300)),
        format!("{{% set x = [] %}}{}{{{{ x | tojson }}}}", "{% set x={'a':x} %}".repeat(900)),
        format!("{{% set x = [] %}}{}{{{{ x | list }}}}", "{% set x=x|map('abs')|reverse %}".repeat(650)),
        format!("{{% set x = [1] %}}{}{{{{ x | list }}}}", "{% set x=x|chain([1]) %}".repeat(700)),
        format!("{{% set x = [] %}}{{% set y = [] %}}{}{{{{ x == y }}}}", "{% set x=[x] %}{% set y=[y] %}".repeat(600)),
        "{% set ns = namespace(x=1) %}{% for i in range(9999) %}{% set ns.x = [ns.x] %}{% endfor %}".to_owned(),
        "{% for x in [1] recursive %}{{ loop([[[[[[[[[[x]]]]]]]]]]) }}{% endfor %}".to_owned(),
        "{% macro f(x) %}{{ f([[[[[[[[[[x]]]]]]]]]]) }}{% endmacro %}{{ f(1) }}".to_owned(),
        "{".repeat(65_000),
        "{{".repeat(30_000),
        "{%".repeat(30_000),
        "{#".repeat(30_000),
    ];
    for bomb in bombs {
        let began = Instant::now();
        let start: String = bomb.chars().take(60).collect();
        let outcome = render(&bomb).map(|text| text.len());
        let took = began.elapsed();
        assert!(took < Duration::from_secs(20), "{start} took {took:?}");
        assert!(outcome.unwrap_or_default() <= LARGEST_TEXT, "{start}");
    }
}

proptest! {
    #[test]
    fn nothing_makes_it_panic(text in "(\\{\\{|\\}\\}|\\{%|%\\}|for|if|set|macro|end|[a-z(){}'|~*.%+ -]{0,6}|\n){0,30}") {
        let _ = render(&text);
    }

    /// Text without braces stays what it is.
    #[test]
    fn plain_text_is_left_alone(text in "[^{}]{0,200}") {
        let rendered = render(&text).unwrap();
        prop_assert_eq!(rendered, text);
    }
}
