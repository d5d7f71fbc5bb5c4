#!/bin/bash
# Hints fit the command that was given: what they name exists, and would have helped.
. "$(dirname "$0")/functions.sh"

cd "$T"
make_ext4 disk.img 64M
run_calco capture disk.img lab.calco
run_calco repo init store
run_calco capture disk.img store::lab

# hinted CODE REGEX COMMAND...: it fails with a hint that says this
hinted() {
	expect_exit "$1" "$CALCO" "${@:3}"
	expect_text err "^hint: $2"
}

# Something that is no image: all commands say what one is, none tells another command's operands.
head -c 100000 "$CALCO" >stranger
for command in 'verify stranger' 'info stranger' 'restore stranger new.img'; do
	# shellcheck disable=SC2086 # a command
	hinted 3 "an image is what 'calco capture' makes; where disks are named too, it comes first$" $command
done

# An image whose signing was cut short; verify tells it, too.
head -c 3000 lab.calco >cut.calco
: >cut.calco.sign
hinted 3 "signing it was cut short, and 'cut.calco.sign' holds what is missing" verify cut.calco
hinted 3 "signing it was cut short" info cut.calco
hinted 3 "signing it was cut short" restore cut.calco new.img

# A repository where an image belongs, and the other way round.
for command in 'verify store' 'info store' 'restore store new.img'; do
	# shellcheck disable=SC2086 # a command
	hinted 2 "of a repository name a version: store::NAME \('calco repo list store' shows them\)$" $command
done
hinted 2 "the image comes last and is a file \(lab.calco\), or a version in a repository: store::NAME$" capture disk.img store
for verb in list check prune stats; do
	hinted 2 "is that its name\? 'calco repo init nowhere' makes a new one$" repo $verb nowhere
done
mkdir empty
hinted 2 "name the folder of one; 'calco repo init DIR' makes one" repo list empty
run_calco key new lab.key
expect_exit 2 "$CALCO" sign store::lab lab.key
expect_text err "a version in a repository cannot be signed afterwards; 'calco capture DISK DIR::NAME --sign KEY' signs a new one$"
run_calco capture disk.img store::lab --sign lab.key
run_calco verify store::lab --require-signer lab.key.pub

# Nothing is restored by verify: a disk that is too small is not the one.
truncate -s 32M small.img
hinted 3 'no restore of this image could have been written there: name the disk that it was restored to' verify lab.calco --against small.img
expect_no_text err 'larger target'
expect_exit 3 "$CALCO" verify lab.calco --against small.img --json
json_true out "d['error']['reason'] == 'too-small'"

# Of an image without partitions there is nothing to choose from.
hinted 2 "leave --only out, or name a label or UUID that 'calco info' shows$" verify lab.calco --against disk.img --only 1
expect_text err "no volume '1' in the image, which has no partitions$"
hinted 2 'leave --only out' restore lab.calco new.img --only 1
run_calco verify lab.calco --against disk.img --only root
[ ! -e new.img ] || fail "something was made"
