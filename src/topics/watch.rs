//! What watches over a setup that stands, and whom it tells.

use super::Topic;

pub(super) const TOPICS: &[Topic] = &[
    Topic {
        id: "alarm-test",
        title: "Whether an alarm reaches you",
        text: "When something needs a human, mxseal writes a letter through this host's own mail server: to the address of the key alarm, or to the postmaster of the mail domain. Setup sends a test and waits until the server's log says that it was delivered or handed on; what the next server does with it, nobody here can see. Nothing is written while all is well.",
        see: "mxseal alarm --test\njournalctl -t mxseal",
        reference: "mxseal-alarm(8); mxseal.toml(5); RFC 5321 section 4.5.1",
    },
    Topic {
        id: "alarm-unsent",
        title: "An alarm could not be sent",
        text: "The mail server's program sendmail did not take the letter, or no address is there. Then the journal (priority 2) and the failed unit are the alarm; the next run tries again.",
        see: "mxseal alarm --test\njournalctl -t mxseal -p crit\nsystemctl --failed",
        reference: "mxseal-alarm(8)",
    },
    Topic {
        id: "hook-failed",
        title: "A hook failed",
        text: "A program in hooks/before.d beside the settings that fails stops the change before anything is touched. One in hooks/after.d runs when the change is proved: the certificate is served, but what the program is for, such as Dovecot, may go on with the old one. So the run exits 1, and every later run of mxseal renew repeats it until it ends well. Its last lines are the evidence.",
        see: "ls -l /etc/mxseal/hooks/before.d /etc/mxseal/hooks/after.d\nmxseal renew",
        reference: "mxseal-renew(8)",
    },
    Topic {
        id: "hook-unsafe",
        title: "A hook is not used",
        text: "Hooks run as root. This one, or a directory above it, can be written by others than root, who would be root with it; or it cannot be looked at. Nothing is touched until that is mended.",
        see: "ls -ld /etc/mxseal /etc/mxseal/hooks /etc/mxseal/hooks/after.d\nls -l /etc/mxseal/hooks/after.d",
        reference: "mxseal-renew(8)",
    },
    Topic {
        id: "renewal-failed",
        title: "The certificate is due and could not be renewed",
        text: "The finding quotes what went wrong. It is tried again by itself, after a rest that grows with each failure, and never before the moment that the CA names; meanwhile the old certificate is served as before. A CA that is away or busy (warn) is given a second try before anybody is told; everything else (fail) needs you now. mxseal renew --force tries at once, except against the CA's wish.",
        see: "mxseal status\nmxseal renew --force",
        reference: "mxseal-renew(8); RFC 8555 section 6.6",
    },
    Topic {
        id: "run-died",
        title: "A renewal did not come to its end",
        text: "The run was ended from outside, or the machine took it: out of memory, a time limit, a signal. A change that it had begun is put back already, or finished where it was proved. Run it by hand and see.",
        see: "mxseal renew\njournalctl -u mxseal-renew",
        reference: "mxseal-renew(8)",
    },
    Topic {
        id: "run-failed",
        title: "A renewal ended with an error",
        text: "The words are the error's own; everything on the host is as they say. The next run of the timer tries again.",
        see: "mxseal renew\njournalctl -u mxseal-renew",
        reference: "mxseal-renew(8)",
    },
    Topic {
        id: "textfile-unwritten",
        title: "The metrics could not be written",
        text: "The file of the key textfile, or its directory, cannot be written. Who watches by it goes on with old figures, and sees that from the time of the last run in them.",
        see: "ls -ld /var/lib/prometheus/node-exporter",
        reference: "mxseal-renew(8)",
    },
    Topic {
        id: "watch-silent",
        title: "The timer has not run for more than a day",
        text: "It runs mxseal renew six times a day, and the last run is older than that: it was disabled or masked, or the machine slept. The certificate ends unless somebody renews it.",
        see: "systemctl list-timers mxseal-renew.timer\nmxseal renew",
        reference: "mxseal-renew(8); systemd.timer(5)",
    },
];
