//! `synod swarm` and `synod sim kv`, as they are typed: what is found, made small, and found again.

#![allow(clippy::unwrap_used, reason = "a command that does not start fails the test")]

use std::path::Path;
use std::process::Command;

/// The exit code and the output of `synod` in this directory.
fn synod(dir: &Path, arguments: &str) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_synod"));
    let ran = command.args(arguments.split(' ')).current_dir(dir).output().unwrap();
    (ran.status.code(), String::from_utf8(ran.stdout).unwrap())
}

#[test]
fn a_failure_is_made_small_and_fails_again_in_the_same_way() {
    let dir = tempfile::tempdir().unwrap();
    let swarm = "swarm raft --without one_vote_per_term --mix lossy --max-failures 1 --jobs 1 \
                 --shrink-seconds 2 --json";
    let (code, told) = synod(dir.path(), swarm);
    assert_eq!(code, Some(9), "{told}");
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    let failure = &told["failures"][0];
    assert_eq!((&told["verdict"], &failure["kind"]), (&"safety".into(), &"safety".into()));
    let small = &told["shrunk"][0]["shrunk"];
    assert!(small["draws"].as_u64().unwrap() < small["of"].as_u64().unwrap() / 2, "{told}");
    let file = small["file"].as_str().unwrap();
    let (code, replayed) = synod(dir.path(), &format!("sim kv --trace --replay {file}"));
    assert_eq!(code, Some(9), "{replayed}");
    let name = failure["verdict"].as_str().unwrap().split(" is violated").next().unwrap();
    assert!(replayed.contains(name), "{name}: {replayed}");
    let (_, as_recorded) = synod(dir.path(), &format!("sim kv --replay {file}"));
    assert!(!as_recorded.contains("ended otherwise"), "{as_recorded}");
    let log = dir.path().join(file);
    let other =
        std::fs::read_to_string(&log).unwrap().replace("ended safety: ", "ended safety: No ");
    std::fs::write(&log, other).unwrap();
    let (_, differs) = synod(dir.path(), &format!("sim kv --replay {file}"));
    assert!(differs.contains("ended otherwise"), "{differs}");
}

#[test]
fn a_swarm_tells_how_its_runs_spread_and_ends_well() {
    let dir = tempfile::tempdir().unwrap();
    let (code, told) = synod(dir.path(), "swarm zab --seeds 12 --events 3000 --twice-every 3");
    assert_eq!(code, Some(0), "{told}");
    for part in ["stepping", "±", "crashes", "12 runs", "0 failures"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert_eq!(dir.path().read_dir().unwrap().count(), 0, "what is sound leaves nothing");
}
