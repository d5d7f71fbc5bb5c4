#!/bin/bash
# Every --json document is valid, has its version and command, and the fields that scripts rely on.
. "$(dirname "$0")/functions.sh"

cd "$T"
make_gpt_disk golden.img

run_calco capture golden.img lab.calco --json --note 'say "hi"' --name lab --version 7
json_true out 'd["version"] == 1 and d["command"] == "capture" and "error" not in d'
json_true out 'd["result"]["image"] == "lab.calco" and d["result"]["name"] == "lab" and d["result"]["image_version"] == 7'
json_true out 'd["result"]["note"] == "say \"hi\"" and len(d["result"]["root"]) == 64'
json_true out '[v["type"] for v in d["result"]["volumes"]] == ["vfat", "ext4", "swap"]'
json_true out 'all(v["state"] == "clean" for v in d["result"]["volumes"]) and d["result"]["bad_ranges"] == []'
json_true out 'd["result"]["disks"][0]["size"] == 160 << 20 and d["result"]["disks"][0]["table"] == "gpt"'
json_true out "d['result']['image_bytes'] == $(stat -c %s lab.calco)"
root=$(json_get out 'd["result"]["root"]')

run_calco info lab.calco --json --extents
json_true out "d['command'] == 'info' and d['result']['root'] == '$root'"
# The regions cover the disk without a hole; the extents lie inside and add up to what is stored.
json_true out 'sum(r["length"] for r in d["result"]["regions"]) == d["result"]["disks"][0]["size"]'
json_true out 'all(a["start"] + a["length"] == b["start"] for a, b in zip(d["result"]["regions"], d["result"]["regions"][1:]))'
json_true out 'sum(x["length"] for x in d["result"]["extents"] if x["state"] == "used") == d["result"]["stored_bytes"]'
json_true out 'all(a["start"] + a["length"] <= b["start"] for a, b in zip(d["result"]["extents"], d["result"]["extents"][1:]))'

run_calco ls --json
json_true out "d['command'] == 'ls' and d['result']['images'][0]['root'] == '$root'"
run_calco verify lab.calco --json
json_true out "d['command'] == 'verify' and d['result']['verdict'] == 'whole' and d['result']['root'] == '$root'"
run_calco verify lab.calco --against golden.img --json
json_true out "d['result']['verdict'] == 'equal' and d['result']['against'] == ['golden.img']"
run_calco restore lab.calco new.img --dry-run --json
json_true out 'd["result"]["dry_run"] and d["result"]["targets"][0]["new_file"] and d["result"]["targets"][0]["size"] == 160 << 20'
[ ! -e new.img ] || fail "a dry run made the target"
run_calco restore lab.calco new.img --json
json_true out "d['result']['root'] == '$root' and d['result']['read_back'] and d['result']['verified_bytes'] > 0"

expect_exit 4 "$CALCO" capture golden.img lab.calco --json
json_true out 'd["command"] == "capture" and d["error"]["code"] == "refused" and d["error"]["reason"] == "exists"'

run_calco disks --json
json_true out 'd["command"] == "disks" and isinstance(d["result"]["disks"], list)'
