#!/bin/bash
# Whatever stands in a repository in the place of a file or folder: nothing hangs, nothing outside is touched, and what does not need it goes on.
. "$(dirname "$0")/functions.sh"
requires mke2fs python3
cd "$T"

truncate -s 1M disk.img
mke2fs -q -F -t ext2 disk.img
head -c 600000 /dev/urandom | dd of=disk.img bs=1k seek=300 conv=notrunc status=none
run_calco repo init whole
run_calco capture disk.img whole::lab --raw all
run_calco repo tag whole lab stable
pack=$(cd whole && find packs -type f)
id=$(basename "$pack" .pack)
zeros=$(printf '%032d' 0)

# quick COMMAND...: it ends by itself, however; its exit code is in $code
quick() {
	code=0
	timeout -k 5 60 "$@" >out 2>err || code=$?
	[ "$code" -lt 124 ] || { cat err; fail "it hangs or was killed ($code): $*"; }
}

# Everything that reads or writes, one after the other.
all_of_them() {
	quick "$CALCO" repo list store
	quick "$CALCO" repo show store lab
	quick "$CALCO" repo stats store
	quick "$CALCO" repo check store
	quick "$CALCO" repo check store --rebuild-index
	quick "$CALCO" info store::lab@stable
	quick "$CALCO" verify store::lab
	quick "$CALCO" capture disk.img store::lab --raw all
	quick "$CALCO" capture disk.img store::other --raw all
	quick "$CALCO" repo tag store lab@1 second
	quick "$CALCO" repo rm store lab@1 --dry-run
	quick "$CALCO" repo prune store --dry-run
	quick "$CALCO" repo prune store --unfinished
	quick "$CALCO" repo prune store --max-unused 0
}

# odd KIND PATH: it stands there instead of what was there
odd() {
	rm -rf "store/$2"
	case $1 in
	pipe) mkfifo "store/$2" ;;
	folder) mkdir "store/$2" ;;
	socket) python3 -c 'import socket, sys, os; os.chdir(os.path.dirname(sys.argv[1])); socket.socket(socket.AF_UNIX).bind(os.path.basename(sys.argv[1]))' "store/$2" ;;
	link) ln -s "$T/outside" "store/$2" ;;
	esac
}

printf 'precious\n' >outside
for kind in pipe folder socket link; do
	for place in calco-repo lock images/lab/1.version images/lab/2.version images/lab/stable.tag images/lab/x.tag images/lab/3.gone "$pack" \
		"packs/$zeros.pack" "leaves/$id" "retired/$id" "retired/$zeros" "leases/$zeros" "new/$zeros.pack" "new/$zeros.leaves" new/x; do
		rm -rf store
		cp -a whole store
		odd $kind "$place"
		all_of_them
		[ "$(cat outside)" = precious ] || fail "$kind $place: what a link leads to was changed"
	done
	# What nobody needs does not keep anybody from anything.
	for place in "packs/$zeros.pack" images/lab/2.version "leaves/$id" "retired/$zeros" "leases/$zeros" "new/$zeros.pack" "new/$zeros.leaves"; do
		rm -rf store
		cp -a whole store
		odd $kind "$place"
		run_calco capture disk.img store::other --raw all
		run_calco capture disk.img store::lab --raw all
		run_calco verify store::other --against disk.img
		run_calco verify store::lab@1 --against disk.img
		if [[ $place == packs/* || $place == images/* ]]; then
			expect_exit 3 "$CALCO" repo check store
			expect_text out 'is not a plain file'
		else
			run_calco repo check store
		fi
	done
done
rm -rf store
cp -a whole store
odd folder "packs/$zeros.pack"
run_calco capture disk.img store::lab --raw all
expect_text err "note: 'store/packs/$zeros.pack' is not a plain file"
odd folder images/lab/9.version
run_calco capture disk.img store::lab --raw all
expect_text err "note: 'store/images/lab/9.version' is not a plain file; the new version is not based on it"
expect_exit 4 "$CALCO" repo rm store lab@9
[ ! -e store/images/lab/9.gone ] || fail "a version that is still there is noted as gone"
expect_exit 3 "$CALCO" repo prune store
rmdir store/images/lab/9.version
run_calco repo prune store

# A link in the place of an image's folder, within the repository or out of it: told, and never gone through.
rm -rf store
cp -a whole store
cp -a whole/images/lab away
ln -s lab store/images/alias
ln -s "$T/away" store/images/far
ln -s nowhere store/images/dangling
echo 'not an image' >store/images/README
run_calco repo list store
expect_text out '^ +lab +1 '
expect_text err "note: 'store/images/alias' is a symbolic link" "note: 'store/images/far' is a symbolic link" 'images/dangling'
expect_no_text out 'alias|far|README'
run_calco repo list store README
for name in alias far dangling; do
	for command in "info store::$name" "verify store::$name" "repo list store $name" "repo show store $name" "repo rm store $name@1" \
		"repo tag store $name t" "repo tag --delete store $name stable" "capture disk.img store::$name --raw all"; do
		read -r -a words <<<"$command"
		expect_exit 4 "$CALCO" "${words[@]}" --json
		json_true out 'd["error"]["reason"] == "link"'
	done
done
# What it hides may be needed.
expect_exit 4 "$CALCO" repo prune store
expect_exit 3 "$CALCO" repo check store
expect_text out "images/far' is a symbolic link"
diff -r whole/images/lab away
diff -r whole/images/lab store/images/lab
rm store/images/{alias,far,dangling}
run_calco repo prune store
run_calco repo check store

# A link in the place of one of the repository's own folders; a folder of images that is not there is not an empty one.
for folder in images packs leaves retired leases new; do
	rm -rf store away
	cp -a whole store
	mv store/$folder away
	ln -s "$T/away" store/$folder
	for command in "repo list store" "repo prune store" "repo rm store lab@1" "capture disk.img store::lab --raw all" "verify store::lab"; do
		read -r -a words <<<"$command"
		expect_exit 4 "$CALCO" "${words[@]}"
		expect_text err "'store/$folder' is a symbolic link"
	done
	diff -r "whole/$folder" away
done
rm -rf store
cp -a whole store
rm -r store/images
expect_exit 3 "$CALCO" repo prune store
[ -f "store/$pack" ] || fail "the pack is gone"
