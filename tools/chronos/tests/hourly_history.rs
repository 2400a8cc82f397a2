//! README's chain on real hourly bars, from bars to the gate, run as it stands there.

use assert_cmd::Command;
use chronos_session::html::plot::GRID;
use chronos_tests::page::check_page;

/// The heading of README the commands stand under.
const HEADING: &str = "### From hourly bars to the gate";

/// The commands, one a line, in their order.
fn commands() -> Vec<String> {
    let readme = std::fs::read_to_string(chronos_tests::workspace_root().join("README.md")).unwrap();
    let section = readme.split(HEADING).nth(1).expect("README has the section");
    let block = section.split("```sh\n").nth(1).and_then(|rest| rest.split("```").next()).expect("the section has commands");
    block.lines().filter_map(|line| line.split(" #").next()?.trim().strip_prefix("chronos ")).map(str::to_owned).collect()
}

#[test]
fn the_documented_chain_runs_from_bars_to_the_gate() {
    let Some(ohlcv) = chronos_tests::data_file("ohlcv") else { return };
    let data = ohlcv.canonicalize().unwrap().parent().unwrap().to_owned();
    let folder = tempfile::tempdir().unwrap();
    let commands = commands();
    assert!(commands.iter().filter(|line| line.starts_with("promote ")).count() >= 2, "{commands:?}");
    for line in &commands {
        let arguments = line.split_whitespace().map(|word| word.replace("$CHRONOS_DATA", &data.display().to_string()));
        let output = Command::cargo_bin("chronos").unwrap().current_dir(folder.path()).args(arguments).output().unwrap();
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        println!("chronos {line}\n{out}");
        // Whether the gate opens is what the data says; that it can say so is what is tested.
        let allowed: &[i32] = if line.starts_with("promote ") { &[0, 1] } else { &[0] };
        assert!(output.status.code().is_some_and(|code| allowed.contains(&code)), "chronos {line}: {out}{err}");
        if line.starts_with("promote ") {
            for part in ["PBO 0.", "DSR (above 0.95) probability 0.", "trials in the ledger", "a year: "] {
                assert!(out.contains(part), "{part}: {out}");
            }
        }
        if let Some(page) = line.split("--html ").nth(1).and_then(|rest| rest.split(' ').next()) {
            check_page(&std::fs::read_to_string(folder.path().join(page)).unwrap(), GRID);
        }
    }
}
