#!/bin/bash
# A USB disk is pulled out while calco reads it, writes to it, compares it, or keeps its image on it: one sentence, exit code 1, no image that is
# not whole; and when it is plugged in again, the same restore completes it.
. "$(dirname "$0")/../e2e/functions.sh"
. "$(dirname "$0")/guestlib.sh"
requires python3 mke2fs

guest_script() {
	cat <<-'SCRIPT'
		say() { echo "$@" >>/tmp/said; echo "$@" >/dev/ttyS0; }
		stick() {
			disk=
			while [ -z "$disk" ]; do
				disk=$(ls /dev/sd? 2>/dev/null | tail -n 1)
				[ -n "$disk" ] && [ "$(cat /sys/block/${disk#/dev/}/size)" -gt 0 ] || { disk=; sleep 1; }
			done
		}
		# pulled WHAT COMMAND...: the stick is pulled out while it runs
		pulled() {
			what=$1
			shift
			stick
			sh -c 'sleep 1; echo "pull now" >/dev/ttyS0' &
			"$@" </dev/null >/tmp/out 2>/tmp/err
			say "$what: exit $?"
			sed "s/^/$what: /" /tmp/err >>/tmp/said
			say "$what: left $(ls /tmp /mnt | grep second)"
			umount /mnt 2>/dev/null
			while ls /dev/sd? >/dev/null 2>&1; do sleep 1; done
			echo "plug in" >/dev/ttyS0
			stick
		}
		again() {
			what=$1
			shift
			"$@" </dev/null >/tmp/out 2>/tmp/err
			say "$what: exit $?"
			sed "s/^/$what: /" /tmp/err >>/tmp/said
		}
		touch /tmp/said
		stick
		again whole calco capture $disk /tmp/lab.calco
		pulled capture calco capture $disk /tmp/second.calco
		again capture-again calco capture $disk /tmp/second.calco
		rm /tmp/second.calco
		again other dd if=/dev/vda of=$disk bs=1M
		pulled restore calco restore /tmp/lab.calco $disk --confirm TICK
		again undone calco verify /tmp/lab.calco --against $disk
		again restore-again calco restore /tmp/lab.calco $disk --confirm TICK
		again same calco verify /tmp/lab.calco --against $disk
		pulled compare calco verify /tmp/lab.calco --against $disk
		again filled dd if=/dev/vdb of=$disk bs=1M
		mount -t ext2 $disk /mnt
		pulled store calco capture /dev/vda /mnt/second.calco
		cat /tmp/said >/dev/vdc
		sync
		poweroff -f
	SCRIPT
}

# hands: pull out and plug in when the console says so
hands() {
	python3 - "$T/monitor" "$T/console" <<-'PYTHON'
		import json, socket, sys, time
		path, console = sys.argv[1:]
		def connect():
		    while True:
		        try:
		            s = socket.socket(socket.AF_UNIX)
		            s.connect(path)
		            return s
		        except OSError:
		            time.sleep(0.2)
		s = connect()
		f = s.makefile("rw")
		f.readline()
		def ask(name, **arguments):
		    f.write(json.dumps({"execute": name, "arguments": arguments}) + "\n")
		    f.flush()
		    while True:
		        answer = json.loads(f.readline())
		        if "return" in answer or "error" in answer:
		            return answer
		ask("qmp_capabilities")
		done = 0
		while True:
		    try:
		        lines = [l for l in open(console, errors="replace").read().splitlines() if l in ("pull now", "plug in")]
		    except OSError:
		        lines = []
		    for line in lines[done:]:
		        if line == "pull now":
		            print(ask("device_del", id="stick"))
		        else:
		            while "error" in ask("device_add", driver="usb-storage", id="stick", bus="usb.0", drive="slow", serial="USBSTICK"):
		                time.sleep(0.5)
		    done = len(lines)
		    time.sleep(0.2)
	PYTHON
}

# expect_said WHAT CODE
expect_said() {
	expect_text "$T/said" "^$1: exit $2\$"
}

# expect_sentence WHAT: one line of calco, perhaps with a hint, and nothing left
expect_sentence() {
	expect_said "$1" 1
	[ "$(grep -c "^$1: calco: " "$T/said")" -eq 1 ] || fail "$1: not one sentence"
	expect_text "$T/said" "^$1: left *\$"
}

guest_script >"$T/script"
guest_system "$T/script" xhci_pci usb_storage sd_mod ext4
guest_add "$CALCO"
guest_pack
truncate -s 48M "$T/stick" "$T/other" "$T/ext2"
head -c 40M /dev/urandom | dd of="$T/stick" conv=notrunc status=none
head -c 40M /dev/urandom | dd of="$T/other" conv=notrunc status=none
mke2fs -q "$T/ext2"
hands >"$T/hands" 2>&1 &
hand=$!
cleanup_fn kill "$hand"
GUEST_MEMORY=1024 guest "" -qmp "unix:$T/monitor,server=on,wait=off" -device qemu-xhci,id=usb \
	-object throttle-group,id=eight,x-bps-total=8388608 \
	-blockdev "driver=file,node-name=file,filename=$T/stick" -blockdev driver=raw,node-name=raw,file=file \
	-blockdev driver=throttle,node-name=slow,throttle-group=eight,file=raw \
	-device usb-storage,id=stick,bus=usb.0,drive=slow,serial=USBSTICK \
	-drive "if=virtio,format=raw,file=$T/other" -drive "if=virtio,format=raw,file=$T/ext2"
for what in whole capture-again restore-again same other filled; do
	expect_said "$what" 0
done
for what in capture restore compare store; do
	expect_sentence "$what"
done
expect_said undone 3
for what in capture restore compare; do
	expect_text "$T/said" "^$what: calco: .*/dev/sd.*No such device"
done
expect_text "$T/said" '^store: calco: .*/mnt/second.calco'
echo "pulled out four times"
