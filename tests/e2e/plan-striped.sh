#!/bin/bash
# A striped logical volume of 7.4 TiB that holds nothing known, so that all of it is taken: planned at once, not stripe by stripe.
. "$(dirname "$0")/functions.sh"
. "$(dirname "$0")/lvmlib.sh"

cd "$T"
truncate -s 4T one two
attach one
pv1=$loop
attach two
pv2=$loop
lvm_run pvcreate "$pv1" "$pv2"
lvm_run vgcreate vg "$pv1" "$pv2"
lvm_create big 7600G vg -i 2 -I 64k
detach_all
python3 - "$CALCO" >figures <<-'PYTHON' || fail "$(cat figures)"
	import resource, subprocess, sys, time
	start = time.monotonic()
	subprocess.run([sys.argv[1], "capture", "--dry-run", "--json", "one", "two", "none.calco"], check=True, stdout=open("out", "w"))
	seconds, peak = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
	print(f"planned in {seconds:.2f} s with {peak:.1f} MiB")
	sys.exit(seconds > 10 or peak > 64)
PYTHON
cat figures
json_true out 'd["result"]["volumes"][-1]["name"] == "vg/big" and d["result"]["used_bytes"] >= 7600 << 30'
