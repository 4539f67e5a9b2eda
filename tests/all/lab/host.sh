#!/bin/sh
# A stock Debian mail host over this machine's own root, or over that in MXSEAL_LAB_ROOT, for host.rs. Runs in a mount
# namespace of its own, so no mount outlives it.
#   host.sh layer FILE SERVER DEBS         the upper layer of the host, as a tar file; not Postfix comes from these packages
#   host.sh boot FOLDER LAYER NETNS NAME [nspawn option...]
#   host.sh again FOLDER NETNS NAME [nspawn option...]    in the mount namespace of a host whose power was cut
set -eu
over_root() { # over_root FOLDER: the overlay, its upper layer in memory
  mkdir -p "$1/memory" "$1/root"
  mount -t tmpfs -o mode=755 tmpfs "$1/memory"
  mkdir "$1/memory/upper" "$1/memory/work"
  [ -z "${2:-}" ] || tar --xattrs --xattrs-include='*' -C "$1/memory/upper" -xf "$2"
  mount -t overlay overlay -o "lowerdir=${MXSEAL_LAB_ROOT:-/},upperdir=$1/memory/upper,workdir=$1/memory/work" "$1/root"
}

layer() {
  folder=$(dirname "$1")/build; mkdir "$folder"; over_root "$folder"; root=$folder/root
  mount -t proc proc "$root/proc"; mount --rbind /dev "$root/dev"
  # Only the mail server's own service, whatever this machine runs, and nothing of its mounts.
  system=$root/etc/systemd/system
  for unit in "$system"/*.wants/* "$root"/etc/rc[2S].d/S*; do
    unit=${unit##*/}
    case $unit in
      postfix.service|postfix@*|postfix-resolvconf.*|S[0-9][0-9]postfix|'*'|'S*') continue ;;
      S[0-9][0-9]*) unit=${unit#S??}.service; [ ! -e "$root/lib/systemd/system/$unit" ] || continue ;;
    esac
    ln -sf /dev/null "$system/$unit"
  done
  for unit in apt-daily.timer apt-daily-upgrade.timer systemd-networkd.service systemd-resolved.service; do
    ln -sf /dev/null "$system/$unit"
  done
  : >"$root/etc/fstab"; : >"$root/etc/machine-id"
  mkdir -p "$root/etc/systemd/journald.conf.d"
  printf '[Journal]\nRateLimitIntervalSec=0\nStorage=volatile\n' >"$root/etc/systemd/journald.conf.d/lab.conf"
  rm -f "$root/etc/resolv.conf"; printf 'nameserver 198.18.0.54\noptions trust-ad\n' >"$root/etc/resolv.conf"
  echo mx1.example.test >"$root/etc/hostname"
  printf '127.0.0.1 localhost\n::1 localhost\n198.18.0.25 mx1.example.test mx1\n' >"$root/etc/hosts"
  rm -rf "$root/var/lib/mxseal" "$root/etc/mxseal"
  printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"; chmod 755 "$root/usr/sbin/policy-rc.d"
  case $2 in postfix) postfix ;; exim) exim "$3" ;; opensmtpd*) opensmtpd "$3" ;; sendmail) sendmail "$3" ;; esac
  rm -f "$root/usr/sbin/policy-rc.d"
  # All of /etc is the host's own: what changes in the machine's while tests run must not show through.
  mkdir "$root/etc.own"
  tar --xattrs --xattrs-include='*' --exclude=./netns -C "$root/etc" -cf - . | tar --xattrs --xattrs-include='*' -C "$root/etc.own" -xpf -
  # While it goes, other tests may put their namespaces into it.
  for try in 1 2 3 4 5 6 7 8 9; do rm -rf "$root/etc" && break || sleep 0.1; done
  [ ! -e "$root/etc" ]; mv "$root/etc.own" "$root/etc"
  tar --xattrs --xattrs-include='*' -C "$folder/memory/upper" -cf "$1" .
}

# Postfix as its package configures it on a new machine.
postfix() {
  rm -f "$root/etc/postfix/main.cf" "$root/etc/postfix/master.cf"
  chroot "$root" debconf-set-selections <<C
postfix postfix/main_mailer_type select Internet Site
postfix postfix/mailname string mx1.example.test
postfix postfix/destinations string mx1.example.test, example.test, localhost
C
  # All local mail goes to one file, so that a test can count it.
  printf 'postmaster: root\nroot: /var/mail/everything\n' >"$root/etc/aliases"
  : >"$root/var/mail/everything"; chown nobody:mail "$root/var/mail/everything"; chmod 600 "$root/var/mail/everything"
  DEBIAN_FRONTEND=noninteractive LC_ALL=C chroot "$root" dpkg-reconfigure postfix 2>&1
  chroot "$root" newaliases
  mkdir -p "$system/multi-user.target.wants"
  ln -sf /lib/systemd/system/postfix.service "$system/multi-user.target.wants/postfix.service"
}

# Exim in Postfix's place, as its package configures it on a new machine.
exim() {
  chroot "$root" debconf-set-selections <<C
exim4-config exim4/dc_eximconfig_configtype select internet site; mail is sent and received directly using SMTP
exim4-config exim4/dc_other_hostnames string example.test
exim4-config exim4/dc_local_interfaces string
exim4-config exim4/use_split_config boolean false
exim4-config exim4/mailname string mx1.example.test
C
  packages "$1"
  sed -i "s/^dc_localdelivery=.*/dc_localdelivery='maildir_home'/" "$root/etc/exim4/update-exim4.conf.conf"
}

# OpenSMTPD in Postfix's place. What its package delivers listens on loopback: this is as its comments say.
opensmtpd() {
  packages "$1"
  sed -i -e 's/^listen on localhost$/listen on 0.0.0.0\nlisten on ::/' \
    -e 's/^# *\(match from any for domain\) "example.org"/\1 "example.test"/' "$root/etc/smtpd.conf"
  grep -q '^match from any for domain "example.test" action "local"$' "$root/etc/smtpd.conf"
}

# Sendmail in Postfix's place, open to the world, as the comments of its sendmail.mc say. Its own addresses may connect often, and
# a machine that is busy closes no port.
sendmail() {
  packages "$1"
  printf 'mx1.example.test\nexample.test\n' >"$root/etc/mail/local-host-names"
  sed -i -e 's/^dnl \(DAEMON_OPTIONS(`Family=inet6, Name=MTA-v6, Port=smtp\), Addr=::1/\1/' -e '/^DAEMON_OPTIONS(`Family=inet,/d' \
    -e '/^MAILER_DEFINITIONS/i define(`confREFUSE_LA'"', \`1000')dnl\\ndefine(\`confQUEUE_LA', \`1000')dnl" \
    "$root/etc/mail/sendmail.mc"
  for place in 198.18.0 IPv6:fd00:0:0:0:0:0:0 IPv6:0:0:0:0:0:0:0:1; do
    printf '%s:%s\t0\n' GreetPause $place ClientRate $place ClientConn $place
  done >>"$root/etc/mail/access"
  chroot "$root" sh -c 'cd /etc/mail && makemap hash access <access && m4 sendmail.mc >sendmail.cf'
  rm -rf "$root/var/mail/everything"
  printf 'postmaster: root\nroot: /var/mail/everything\n' >"$root/etc/aliases"
  : >"$root/var/mail/everything"; chown mail:mail "$root/var/mail/everything"; chmod 600 "$root/var/mail/everything"
  chroot "$root" newaliases
}

# Installs them all; what they conflict with goes. Local mail goes to one user's Maildir, so that a test can count it; one file
# would be waited for.
packages() {
  mkdir -p "$root/var/cache/mxseal-debs"; cp "$1"/*.deb "$root/var/cache/mxseal-debs"
  DEBIAN_FRONTEND=noninteractive LC_ALL=C chroot "$root" sh -c \
    'apt-get install -y -qq --no-install-recommends /var/cache/mxseal-debs/*.deb' 2>&1
  rm -rf "$root/var/cache/mxseal-debs"
  chroot "$root" useradd --create-home --home-dir /var/mail/everything --shell /usr/sbin/nologin everything
  printf 'postmaster: root\nroot: everything\n' >"$root/etc/aliases"
}

boot() {
  over_root "$1" "$2"
  folder=$1; shift 2
  again "$folder" "$@"
}

again() {
  folder=$1 netns=$2 name=$3; shift 3
  # A control group of its own: two hosts must not find each other's services in theirs.
  for tree in /sys/fs/cgroup /sys/fs/cgroup/systemd /sys/fs/cgroup/unified; do
    [ ! -e "$tree/cgroup.procs" ] || { mkdir -p "$tree/$name"; echo $$ >"$tree/$name/cgroup.procs"; }
  done
  exec systemd-nspawn --quiet -b --register=no --keep-unit --console=pipe --network-namespace-path="/run/netns/$netns" \
    --resolv-conf=off --timezone=off --link-journal=no --machine="$name" --hostname=mx1.example.test -D "$folder/root" "$@"
}
"$@"
