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

# A disk with partitions: each with its size, what it holds, label, GPT name, and where it is mounted, also through another device. Hostile
# names neither move the cursor nor make lines long; JSON has them in full.
requires sgdisk partx mkfs.fat mmd mcopy mkswap openssl
make_gpt_disk parts.img
sgdisk -n 4:0:0 -c "4:$(printf 'evil\033[2Jname of thirty-five character')" -c '2:the root' parts.img >/dev/null
pdev=$(losetup --find --show parts.img)
cleanup_fn losetup -d "$pdev"
read -r -a place < <(partition_place parts.img 2)
inner=$(losetup --find --show -o "${place[0]}" --sizelimit "${place[1]}" "$pdev")
cleanup_fn losetup -d "$inner"
unshare -m sh -eu -c '
	mount -o ro "$2" mnt
	"$1" disks --json >parts.json
	"$1" disks >parts
' sh "$CALCO" "$inner" || fail "inside the mount namespace"
json_true parts.json "[(p['number'], p['content'], p['label'], p['name'], p['size'] >> 20, p['swap']) for x in d['result']['disks'] if x['path'] == '$pdev'
	for p in x['partitions'] if p['number'] < 4] == [(1, 'vfat', 'EFI', 'EFI', 40, False), (2, 'ext4', 'root', 'the root', ${place[1]} >> 20, False), (3, 'swap', 'swap', 'swap', 8, False)]"
json_true parts.json "[x['partitions'][1]['mounted'] == ['$T/mnt'] and x['partitions'][3]['name'].startswith('evil\ufffd[2Jname of thirty-five') for x in d['result']['disks'] if x['path'] == '$pdev'] == [True]"
sed -n "\\|^$pdev |,\\|^/|p" parts >listed
expect_text listed '^  table +gpt$' '^ +1 +40.0 MiB +vfat +EFI +EFI$' "^ +2 +[0-9.]+ MiB +ext4 +root +the root +$(cut -c 1-28 <<<"$T/mnt")" 'evil.*\.\.$'
# What it is for by the partition table is not what it holds, which is nothing.
expect_text listed '^ +4 +[0-9.]+ KiB +- \(Linux filesystem\) +evil'
json_true parts.json "[x['partitions'][3]['content'] is None and x['partitions'][3]['type'] == 'Linux filesystem' for x in d['result']['disks'] if x['path'] == '$pdev'] == [True]"
# The GPT names are in the tables of a plan and of an image, too, and no longer.
run_calco capture parts.img parts.calco
run_calco info parts.calco
expect_text out '^ +PART +TYPE +LABEL +NAME +SIZE +STORED +STATE$' '^ +2 +ext4 +root +the root +[0-9.]+ MiB' '^ +4 +raw +evil.{1,3}\[2Jname of .*\.\. +[0-9]' '^ +- +gaps +[0-9.]+ [KM]iB +[0-9.]+ [KM]iB$'
run_calco restore parts.calco planned.img --dry-run
expect_text out '^ +2 +ext4 +root +the root +[0-9.]+ MiB'
[ "$(grep -c "$(printf '\033')" parts)" = 0 ] || fail "an escape sequence comes through"
[ "$(tail -n +4 listed | wc -L)" -le 100 ] || fail "a line is too long"

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
# Nor may read: the disk, or an image that is root's.
expect_exit 1 as_nobody capture "$dev" --dry-run
expect_text err "opening '$dev': Permission denied" '^hint: run it as root'
expect_exit 1 as_nobody verify readable.calco --against "$dev" --json
json_true out 'd["error"]["reason"] == "no-permission"'
expect_text err '^hint: run it as root'
expect_exit 1 as_nobody verify lab.calco
expect_text err "opening 'lab.calco': Permission denied" '^hint: run it as root'
