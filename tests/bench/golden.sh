#!/bin/bash
# Make the golden image that versions are measured on, in the folder given; what is there already stays as it is:
#   v1.img    a Debian system, about 2.4 GB used, on a disk of 8 GiB: GPT, ESP, ext4
#   v2.img    v1 after maintenance: 7 packages more, 4 reinstalled, 40 files edited, logs written
#   used.img  v1 after a day's use: about 380 MiB more of files, caches and logs, and some that were deleted again
#   near.img  v1 with 2 % of its used bytes written anew
# Usage: golden.sh DIR. Needs root, loop devices, ext4, and apt's mirror; 15 GB of room. What apt says goes to DIR/build.log.
set -eu -o pipefail
export LC_ALL=C.UTF-8 PATH=$PATH:/usr/sbin:/sbin
mkdir -p "$1"
dir=$(realpath "$1")

system=(linux-image-amd64 systemd-sysv udev dbus sudo openssh-server network-manager build-essential git vim gdb
	xserver-xorg-core xfce4 lightdm firefox-esr libreoffice-writer libreoffice-calc)
added=(valgrind php-cli mariadb-server-core htop tmux jq tree)
reinstalled=(libreoffice-core git gdb vim)

first_mib=129 # the ext4 begins here, behind the ESP
size_mib=8192
offset=$((first_mib << 20))

say() {
	echo "golden: $*" >&2
}

make_disk() {
	rm -f "$1"
	truncate -s "${size_mib}M" "$1"
	sgdisk -U 11111111-2222-4333-8444-555555555555 -n 1:2048:+128M -t 1:ef00 -u 1:11111111-2222-4333-8444-555555555556 \
		-n 2:${first_mib}M:0 -t 2:8300 -u 2:11111111-2222-4333-8444-555555555557 "$1" >/dev/null
	truncate -s 128M esp
	mkfs.fat -F 32 -i 11112222 -n ESP esp >/dev/null
	dd if=esp of="$1" bs=1M seek=1 conv=notrunc,sparse status=none
	rm esp
	mke2fs -q -F -t ext4 -U 11111111-2222-4333-8444-555555555558 -L root \
		-E "offset=$offset,nodiscard,hash_seed=11111111-2222-4333-8444-555555555559,lazy_itable_init=0,lazy_journal_init=0" "$1" $((size_mib - first_mib - 1))M
}

# Where this machine's apt gets the suite from, as it is configured
mirror() {
	# shellcheck disable=SC2016 # apt expands these itself
	apt-get indextargets --format '$(CODENAME) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' | awk '$1 == "bookworm" && $2 == "main" && !n++ { print $3 }'
}

in_system() {
	DEBIAN_FRONTEND=noninteractive chroot mnt "$@" >>build.log 2>&1 </dev/null
}

apt_get() {
	in_system apt-get -q -y --no-install-recommends -o Dpkg::Options::=--force-unsafe-io -o APT::Sandbox::User=root "$@"
}

# What a system needs to have packages installed; no service is started
prepare_chroot() {
	mount -t proc proc mnt/proc
	mount --bind /dev mnt/dev
	printf '#!/bin/sh\nexit 101\n' >mnt/usr/sbin/policy-rc.d
	chmod 755 mnt/usr/sbin/policy-rc.d
	cp -L /etc/resolv.conf mnt/etc/resolv.conf
	# shellcheck disable=SC2046 # one word or none
	printf '%s\n' $(apt-config dump --format 'Acquire::http::Proxy "%v";%n' Acquire::http::Proxy | grep -v '"";') >mnt/etc/apt/apt.conf.d/00proxy
}

leave_chroot() {
	apt_get clean
	rm mnt/usr/sbin/policy-rc.d mnt/etc/resolv.conf mnt/etc/apt/apt.conf.d/00proxy
	umount mnt/dev mnt/proc
}

make_v1() {
	local from
	from=$(mirror)
	[ -n "$from" ] || { say "apt knows no mirror of bookworm"; exit 1; }
	debootstrap --variant=minbase bookworm mnt "$from" >>build.log 2>&1
	prepare_chroot
	apt_get update
	apt_get install "${system[@]}"
	in_system useradd -m -s /bin/bash student
	leave_chroot
}

# Text that is the same at every call; NAME tells one from the other
text() {
	seq -f "%.0f $1: connection from 192.0.2.7 port 22, session opened for user student" 100000000 | head -c "$2" || true
}

# Does not compress, and is the same at every call
noise() {
	openssl enc -aes-128-ctr -K "$1" -iv 00 -in /dev/zero 2>/dev/null | head -c "$2" || true
}

make_v2() {
	local file
	prepare_chroot
	apt_get update
	apt_get install "${added[@]}"
	apt_get install --reinstall "${reinstalled[@]}"
	leave_chroot
	find mnt/etc -xdev -type f -size -64k | sort | head -n 40 | while read -r file; do
		sed -i '$a # edited' "$file"
	done
	text maintenance 6000000 >>mnt/var/log/syslog
	text kernel 2000000 >>mnt/var/log/kern.log
}

make_used() {
	local home=mnt/home/student n
	mkdir -p $home/Documents $home/Pictures $home/.cache/browser
	for n in $(seq 60); do noise "1$n" 3000000 >"$home/Pictures/$n.jpg"; done
	for n in $(seq 1000); do noise "2$n" $((n * 180)) >"$home/.cache/browser/$n"; done
	tar -C mnt/usr/share -cf $home/Documents/collection.tar doc info man
	cp -a mnt/usr/share/icons $home/Documents/
	text student 60000000 >>mnt/var/log/syslog
	for n in $(seq 40); do text "mail $n" 500000 >"$home/Documents/mail-$n.txt"; done
	sync -f mnt
	for n in $(seq 3 3 60); do rm "$home/Pictures/$n.jpg"; done
	for n in $(seq 2 4 1000); do rm "$home/.cache/browser/$n"; done
	for n in $(seq 1000 1200); do noise "2$n" 90000 >"$home/.cache/browser/$n"; done
}

# A fiftieth of what is used: half of it text, half of it noise, in files of many sizes, a few of them over what was there
make_near() {
	local bytes n
	bytes=$(($(df --output=used -B1 mnt | tail -n 1) / 50))
	mkdir mnt/srv/new
	for n in $(seq 100); do
		text "report $n" $((bytes * n / 10100)) >"mnt/srv/new/$n.txt"
		noise "3$n" $((bytes * n / 10100)) >"mnt/srv/new/$n.bin"
	done
	find mnt/usr/share/doc -name copyright -size -64k | sort | head -n 100 | while read -r file; do cp "$file" mnt/new; cat mnt/new >"$file"; done
	rm -f mnt/new
}

# In a mount and process namespace of its own: whatever happens, nothing stays mounted or running.
if [ "${2-}" = in-namespace ]; then
	cd "$dir"
	mkdir -p mnt
	mount -o "loop,offset=$offset" new.img mnt
	"make_$3"
	umount mnt
	exit 0
fi

# build NAME [FROM]
build() {
	[ ! -f "$1.img" ] || return 0
	say "making $1.img"
	if [ -n "${2-}" ]; then
		cp --sparse=always --reflink=auto "$2.img" new.img
	else
		make_disk new.img
	fi
	unshare -m --propagation private --fork --pid --kill-child --mount-proc "$self" "$dir" in-namespace "$1"
	sync -f new.img
	e2fsck -fn "new.img?offset=$offset" >>build.log 2>&1
	mv new.img "$1.img"
}

self=$(realpath "$0")
cd "$dir"
trap 'rm -f esp new.img' EXIT
if ! [ -f v1.img ] || ! [ -f v2.img ] || ! [ -f used.img ] || ! [ -f near.img ]; then
	free_mib=$(df --output=avail -BM . | tail -n 1 | tr -dc 0-9)
	[ "$free_mib" -ge 15000 ] || { say "15 GB of room are needed in $dir"; exit 1; }
fi
build v1
build v2 v1
build used v1
build near v1
