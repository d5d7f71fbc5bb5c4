#!/bin/bash
# disks on a real (loop) device: what is on it, whether it may be a target, and why not while it is mounted.
. "$(dirname "$0")/functions.sh"
requires_loop
requires unshare mount

cd "$T"
make_ext4 disk.img 32M
dev=$(losetup --find --show disk.img)
cleanup_fn losetup -d "$dev"

# this EXPRESSION: true of x, the entry of this device
this() {
	run_calco disks --json
	json_true out "any(x['path'] == '$dev' and ($1) for x in d['result']['disks'])"
}

this 'x["size"] == 32 << 20 and x["target"] and not x["empty"] and "ext4" in x["holds"]'
confirm=$(json_get out "[x['confirm'] for x in d['result']['disks'] if x['path'] == '$dev'][0]")
run_calco disks
expect_text out "^$dev  32\.0 MiB" "yes, with --confirm $confirm"
run_calco disks --targets
expect_text out "^$dev "

run_calco capture "$dev" lab.calco
# Mounted read-only, in a mount namespace of its own: not a target, but may be captured.
mkdir mnt
unshare -m sh -eu -c '
	mount -o ro "$2" mnt
	"$1" disks --json >mounted.json
	"$1" disks --targets >targets
	code=0
	"$1" restore lab.calco "$2" --confirm "$3" 2>refused || code=$?
	echo "$code" >code
	"$1" capture "$2" mounted.calco >captured 2>&1
' sh "$CALCO" "$dev" "$confirm" 2>namespace || { cat namespace captured >&2 || true; fail "inside the mount namespace"; }
json_true mounted.json "any(x['path'] == '$dev' and not x['target'] and x['reason'] == 'mounted' for x in d['result']['disks'])"
expect_no_text targets "^$dev "
[ "$(cat code)" = 4 ] || fail "a restore to a mounted disk gives exit code $(cat code)"
expect_text refused "^calco: .*is mounted read-only on "
run_calco verify mounted.calco --against "$dev"

# The confirmation that the list tells is the one that restore accepts.
expect_exit 4 "$CALCO" restore lab.calco "$dev" --yes --state state
run_calco restore lab.calco "$dev" --confirm "$confirm" --state state
e2fsck -fn "$dev" >/dev/null 2>&1 || fail "e2fsck finds errors"

# Who may not write to it is told so, by disks and by restore.
command -v setpriv >/dev/null || skip "setpriv is not installed"
chmod 755 "$T"
install -m 755 "$CALCO" calco
install -m 644 lab.calco readable.calco
as_nobody() {
	setpriv --reuid 65534 --regid 65534 --clear-groups env XDG_STATE_HOME=/nonexistent ./calco "$@"
}
expect_exit 0 as_nobody disks
expect_text out "target +no: '$dev' cannot be opened for writing: Permission denied"
expect_exit 0 as_nobody disks --json
json_true out "any(x['path'] == '$dev' and not x['target'] and x['reason'] == 'no-permission' and x['confirm'] is None for x in d['result']['disks'])"
expect_exit 0 as_nobody disks --targets
expect_no_text out "^$dev "
expect_exit 1 as_nobody restore readable.calco "$dev" --confirm "$confirm"
expect_text err "'$dev' cannot be opened for writing: Permission denied" 'as root'
