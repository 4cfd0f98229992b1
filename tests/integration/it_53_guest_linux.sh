#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Goal: a guest with a real kernel keeps its memory over snapshot, rollback and suspend, and turns
# itself off; the real guest agent is understood. Method: Debian's cloud kernel with a program that
# counts; hardware comes and goes meanwhile; Debian's qemu-ga where a guest's would be.
# Timeout: 600
. "$(dirname "$0")/lib.sh"
need qemu-system-x86_64 qemu-img gcc python3 apt-get apt-cache dpkg-deb
BUILD=$(build_dir)
need "$BUILD/cli/qm"
PROBE=$TOP/tests/integration/guest_probe.py
RUN=/run/qemu-server

# fetch PACKAGE: unpacks it below $WORK/PACKAGE; nothing is installed.
fetch()
{
    mkdir -p "$WORK/$1/root"
    (cd "$WORK/$1" && timeout 120 apt-get -q download "$2" >log 2>&1 && dpkg-deb -x ./*.deb root)
}

kernel_package=$(apt-cache depends linux-image-cloud-amd64 2>/dev/null |
    awk '/Depends: linux-image/ { print $2; exit }')
if [ -z "$kernel_package" ] || ! fetch kernel "$kernel_package"; then
    echo '1..0 # SKIP no Debian archive to take linux-image-cloud-amd64 from'
    exit 77
fi
KERNEL=$(echo "$WORK"/kernel/root/boot/vmlinuz-*)
if ! gcc -static -O1 -o "$WORK/init" "$TOP/tests/integration/linux_guest_init.c"; then
    echo '1..0 # SKIP no static C library'
    exit 77
fi
python3 "$TOP/tests/integration/initrd.py" "$WORK/initrd" "init=$WORK/init"

on()
{
    local node=$1
    shift
    lab exec "$node" -- timeout 200 "$@"
}

counter()
{
    on 1 "$PROBE" counter "$RUN/110.serial0" 2>/dev/null
}

# The kernel's own lines come first.
counts()
{
    local now
    now=$(counter) && [ -n "$now" ]
}

more_than()
{
    local now
    now=$(counter) && [ "$now" -gt "$1" ]
}

ended_by_guest()
{
    on 1 grep -q '"guest_requested" : true' "$RUN/110.exit"
}

APPEND='console=ttyS0 quiet panic=-1 mitigations=off no_timer_check'
lab_up -n 1
mkdir -p "$WORK/tank/images/110"
on 1 mkdir -p /etc/pve/nodes/node1/qemu-server
on 1 sh -c 'cat >/etc/pve/storage.cfg' <<END
dir: tank
	path $WORK/tank
	content images
END
qemu-img create -q -f qcow2 "$WORK/tank/images/110/vm-110-disk-0.qcow2" 64M
on 1 sh -c 'cat >/etc/pve/qemu-server/110.conf' <<END
args: -kernel $KERNEL -initrd $WORK/initrd -append "$APPEND"
cores: 2
hotplug: disk,network,usb,cpu,memory
kvm: 0
memory: 1024
name: linux
numa: 1
ostype: l26
scsi0: tank:110/vm-110-disk-0.qcow2,size=64M
scsihw: virtio-scsi-single
serial0: socket
tablet: 0
vcpus: 1
vga: serial0
END

check 'a Linux guest starts' on 1 qm start 110
check 'its kernel and its first program run' within 240 counts

# ---------------------------------------------------------------------- hardware comes and goes
# hot ARGS...: QEMU takes all of it at once.
hot()
{
    on 1 qm set 110 "$@" >"$WORK/said" 2>&1 || { cat "$WORK/said"; return 1; }
    ! grep waits "$WORK/said" && ! on 1 grep PENDING /etc/pve/qemu-server/110.conf
}
waits()
{
    on 1 qm set 110 "$@" 2>&1 | grep 'waits for the next start'
}
devices()
{
    on 1 "$PROBE" qmp "$RUN/110.qmp" qom-list '{"path": "/machine/peripheral"}' |
        python3 -c 'import json, sys
names = {entry["name"] for entry in json.load(sys.stdin)}
print(*sorted(names & set(sys.argv[1:])))' cpu2 dimm0 net0 net1 scsi1 usb0 virtio1 virtioscsi1
}
limit()
{
    on 1 "$PROBE" qmp "$RUN/110.qmp" query-block | python3 -c 'import json, sys
print(*(b["inserted"]["bps"] for b in json.load(sys.stdin) if b["device"] == "drive-scsi0"))'
}
DISK=tank:110/vm-110-disk-0.qcow2
check 'a disk comes' hot --virtio1 tank:0.01
check 'one with its controller' hot --scsi1 tank:0.01,iothread=1
check 'network cards' hot --net0 virtio=BC:24:11:00:00:01 --net1 e1000,link_down=1
check 'a USB device' hot --usb0 host=1234:5678
check 'memory' hot --memory 1536
check 'QEMU has them' equal "$(devices)" 'dimm0 net0 net1 scsi1 usb0 virtio1 virtioscsi1'
check 'a cable is pulled' hot --net0 virtio=BC:24:11:00:00:01,link_down=1
check 'limits of a disk in use' hot --scsi0 "$DISK,mbps=7"
check 'count at once' equal "$(limit)" 7340032
check 'its cache mode waits' waits --scsi0 "$DISK,cache=writeback"
check 'for IDE there is no way either' waits --ide1 tank:0.01
check 'and none for sockets' waits --sockets 2
on 1 qm set 110 --revert scsi0,ide1,sockets
check 'all but the limits go' hot --delete virtio1,scsi1,net0,net1,usb0
check 'the memory too' hot --memory 1024
check 'and the limits' hot --scsi0 "$DISK"
check 'QEMU has none of it' equal "$(devices)" ''
check 'the disks are kept' equal "$(on 1 grep -c '^unused' /etc/pve/qemu-server/110.conf)" 3
check 'a processor comes' hot --vcpus 2
check 'and is there' equal "$(devices)" cpu2
check 'without KVM it cannot go' waits --vcpus 1
on 1 qm set 110 --revert vcpus
check 'the guest has seen all that and counts' counts

before=$(counter)
check 'a snapshot with memory' on 1 qm snapshot 110 early --vmstate
# So far that the time a busy machine takes to look after the rollback does not matter.
now=$(counter)
check 'it counts on' within 120 more_than $((now + 60 + 8 * (now - before)))
late=$(counter)
check 'going back' on 1 qm rollback 110 early
check 'the guest runs again' within 90 counts
back=$(counter)
check "its memory is the old one (at $before, $late, back $back)" test "$back" -lt "$late"
check 'not one of a fresh start' test "$back" -ge "$before"
check 'suspended to disk' on 1 qm suspend 110 --todisk
check 'and started' on 1 qm start 110
check 'it goes on' within 90 more_than "$back"
check 'a key over the terminal' sh -c "printf q | $TOP/scripts/lab exec --name $LAB_NAME 1 -- \
    timeout 60 qm terminal 110"
check 'turns it off, which is seen' within 90 ended_by_guest
check 'it is off' equal "$(on 1 qm status 110)" 'status: stopped'

# ------------------------------------------------------------------------------ the guest agent
if fetch agent qemu-guest-agent; then
    on 1 mkdir -p "$RUN"
    lab exec 1 -- setsid -f "$WORK/agent/root/usr/sbin/qemu-ga" -m unix-listen -p "$RUN/110.qga" \
        -t "$WORK" -f "$WORK/qga.pid" >/dev/null 2>&1 </dev/null
    check 'the agent is there' within 60 on 1 test -S "$RUN/110.qga"
    check 'it answers' on 1 qm agent 110 ping
    check 'tells its version' sh -c "$TOP/scripts/lab exec --name $LAB_NAME 1 -- \
        qm guest cmd 110 info | grep -q '\"version\" : '"
    refuse 'unknown commands are refused' on 1 qm guest cmd 110 no-such
    on 1 qm guest exec 110 -- sh -c 'echo hello; echo woe >&2; exit 3' >"$WORK/exec"
    check 'a program runs' equal "$(tr -d ' \n' <"$WORK/exec")" \
        '{"err-data":"woe\n","exitcode":3,"exited":1,"out-data":"hello\n"}'
    check 'with input' sh -c "printf abc | $TOP/scripts/lab exec --name $LAB_NAME 1 -- \
        qm guest exec 110 --pass-stdin 1 -- cat | grep -q '\"out-data\" : \"abc\"'"
    refuse 'one that is not there' on 1 qm guest exec 110 -- /no/such/program
fi
finish
