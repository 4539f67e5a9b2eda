//! Whether this host's clock is right, as far as its own time service can say. A certificate that seems expired, or not
//! valid yet, is more often a clock that is off.

use crate::{change::Command, facts::Known, world::Look};
use std::{path::Path, time::Duration};

/// chronyd answers at once or not at all.
const PATIENCE: Duration = Duration::from_secs(2);

/// Seconds that the clock is ahead (+) or behind (−).
pub(super) fn clock(look: &dyn Look) -> Known<i64> {
    if look.identity(Path::new("/run/chrony")).is_ok() {
        let command = Command(["chronyc", "-n", "-c", "tracking"].map(ToOwned::to_owned).to_vec());
        return match look.run(&command, PATIENCE) {
            Ok(out) if out.code == 0 => tracking(&out.stdout, &command.to_string()),
            Ok(out) => {
                Known::unknown(format!("chrony does not answer: {}", if out.stderr.is_empty() { out.stdout } else { out.stderr }.trim()))
            }
            Err(e) => Known::unknown(e.to_string()),
        };
    }
    // systemd-timesyncd.service(8): it is there since the first answer of a time server.
    let mark = "/run/systemd/timesync/synchronized";
    if look.identity(Path::new(mark)).is_ok() {
        return Known::seen(0, mark);
    }
    Known::unknown("neither chrony nor systemd-timesyncd has set it; the CA's time is compared when it is asked")
}

/// chronyc(1): fields are the reference's id, its name, stratum, its time, then how far the clock must still go forward;
/// the last one is the leap status.
fn tracking(line: &str, command: &str) -> Known<i64> {
    let fields: Vec<&str> = line.trim().split(',').collect();
    match (fields.get(4).and_then(|f| f.parse::<f64>().ok()), fields.last()) {
        (_, Some(&"Not synchronised")) => Known::unknown("chrony has no time source that it believes"),
        #[allow(clippy::cast_possible_truncation, reason = "seconds, rounded")]
        (Some(slow), _) => Known::seen(-(slow.round() as i64), command),
        (None, _) => Known::unknown(format!("`{command}` said nothing that mxseal understands: {}", line.trim())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        change::Meta,
        world::{Failure, Output},
    };
    use std::io;

    /// A machine with these paths, on which chronyc prints this.
    struct Host(&'static [&'static str], i32, &'static str);

    impl Look for Host {
        fn read(&self, _: &Path) -> io::Result<Option<(Vec<u8>, Meta)>> {
            Ok(None)
        }

        fn run(&self, command: &Command, _: Duration) -> Result<Output, Failure> {
            assert_eq!(command.to_string(), "chronyc -n -c tracking");
            Ok(Output { code: self.1, stdout: self.2.into(), stderr: String::new() })
        }

        fn identity(&self, path: &Path) -> io::Result<(u64, u64)> {
            if self.0.iter().any(|p| Path::new(p) == path) { Ok((1, 1)) } else { Err(io::ErrorKind::NotFound.into()) }
        }
    }

    #[test]
    fn the_time_service_is_asked() {
        const CHRONY: &[&str] = &["/run/chrony", "/run/systemd/timesync/synchronized"];
        let right = "C0000201,192.0.2.1,2,1700000000.1,0.000006523,-0.000002,0.00006,-1.5,0.0,0.0,0.01,0.001,64.2,Normal\n";
        let slow = "C0000201,192.0.2.1,2,1700000000.1,3599.8,-0.000002,0.00006,-1.5,0.0,0.0,0.01,0.001,64.2,Normal\n";
        let fast = "C0000201,192.0.2.1,2,1700000000.1,-86400.2,-0.000002,0.00006,-1.5,0.0,0.0,0.01,0.001,64.2,Normal\n";
        let lost = "00000000,,0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,1.0,1.0,0.0,Not synchronised\n";
        for (host, wanted) in [
            (Host(CHRONY, 0, right), Ok(0)),
            (Host(CHRONY, 0, slow), Ok(-3600)),
            (Host(CHRONY, 0, fast), Ok(86_400)),
            (Host(CHRONY, 0, lost), Err("no time source")),
            (Host(CHRONY, 0, "what?"), Err("nothing that mxseal understands: what?")),
            (Host(CHRONY, 1, "506 Cannot talk to daemon\n"), Err("506 Cannot talk to daemon")),
            (Host(&CHRONY[1..], 1, ""), Ok(0)),
            (Host(&[], 1, ""), Err("neither chrony nor systemd-timesyncd")),
        ] {
            match (clock(&host), wanted) {
                (Known::Seen { value, .. }, Ok(off)) => assert_eq!(value, off, "{}", host.2),
                (Known::Unknown { why }, Err(part)) => assert!(why.contains(part), "{why}"),
                (got, wanted) => panic!("{}: {got:?} instead of {wanted:?}", host.2),
            }
        }
    }
}
