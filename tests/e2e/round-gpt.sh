#!/bin/bash
# Round trip of a GPT disk with every kind of file system, its sizes multiples of nothing.
. "$(dirname "$0")/rounds.sh"

disk=gpt.img
truncate -s $((240 * 1024 * 1024 + 5 * 512)) $disk
sgdisk -a 1 -n 1:63:+110001 -c 1:'four' -n 2:111003:+90007 -c 2:three -n 3:202119:+80001 -c 3:two \
	-n 4:282123:+16001 -t 4:EF00 -n 5:299131:+40003 -t 5:0700 -n 6:340001:+90003 -t 6:EF00 -c 6:'Größe €' \
	-n 7:431001:+11003 -t 7:8200 -n 8:442007:+40001 -c 8:unknown -A 8:set:2 -A 1:set:60 $disk >/dev/null
random_bytes 440 | dd of=$disk conv=notrunc status=none
part 1 ext4 -b 4096
part 2 ext3
part 3 ext2
part 4 fat12
part 5 fat16
part 6 fat32 -s 1
part 7 swap
part 8 raw
holds_deleted_data $disk
round_trip $disk
