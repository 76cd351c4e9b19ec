//! `traffic ADDRESS PATH`: steady traffic until standard input ends, then the tally as JSON.

use std::io::Read as _;
use std::process::ExitCode;
use std::time::Duration;

use cutover_tests::traffic::Traffic;

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a small tool that prints")]
fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, path] = &arguments[..] else {
        eprintln!("usage: traffic ADDRESS:PORT PATH");
        return ExitCode::from(2);
    };
    let Ok(address) = address.parse() else {
        eprintln!("traffic: `{address}` is no address");
        return ExitCode::from(2);
    };
    let pause = Duration::from_millis(20);
    let traffic = Traffic::gets(address, path, 8, pause);
    // Whatever ends the reading ends the traffic.
    let (_, tally) =
        traffic.beside(Duration::ZERO, || std::io::stdin().read_to_end(&mut Vec::new()));
    println!("{}", serde_json::json!(tally));
    ExitCode::SUCCESS
}
