# SPDX-License-Identifier: Apache-2.0
# What the tests of migration share: the counter guest (scripts/lib/counter_guest.S),
# storages, and looking at guests.
BUILD=$(build_dir)
PROBE=$TOP/tests/integration/mig_probe.py
RUN=/var/run/qemu-server

make_rom()
{
    as --32 "$TOP/scripts/lib/counter_guest.S" -o "$WORK/rom.o" &&
        ld -m elf_i386 -Ttext 0 --oformat binary "$WORK/rom.o" -o "$WORK/rom"
}

on()
{
    local node=$1
    shift
    lab exec "$node" -- timeout 120 "$@"
}

# guest NODE VMID LINES...: its configuration, with these lines more.
guest()
{
    local node=$1 vmid=$2
    shift 2
    on "$node" sh -c "cat >/etc/pve/nodes/node$node/qemu-server/$vmid.conf" <<END
args: -bios $WORK/rom
cpu: qemu64,flags=-apic
kvm: 0
memory: 64
name: counter$vmid
serial0: socket
vga: serial0
$(printf '%s\n' "$@")
END
}

counter()
{
    on "$1" "$PROBE" counter "$RUN/$2.serial0"
}

# press NODE VMID KEY: `r` resets the guest, `s` shuts it down.
press()
{
    on "$1" "$PROBE" press "$RUN/$2.serial0" "$3"
}

# goes_on NODE VMID FROM: it counts there, from FROM on or later.
goes_on()
{
    on "$1" "$PROBE" after "$RUN/$2.serial0" "$3"
}

runs_on()
{
    equal "$(on "$1" qm status "$2" 2>&1)" 'status: running'
}

is_stopped()
{
    equal "$(on "$1" qm status "$2" 2>&1)" 'status: stopped'
}

# placed NODE VMID: its configuration is there and nowhere else, without a lock.
placed()
{
    local where
    where=$(on "$1" sh -c "ls /etc/pve/nodes/*/qemu-server/$2.conf")
    equal "$where" "/etc/pve/nodes/node$1/qemu-server/$2.conf" || return 1
    ! on "$1" grep '^lock' "/etc/pve/nodes/node$1/qemu-server/$2.conf"
}

# clean_on NODE VMID: no process, socket, port, journal or lock of it is left there.
clean_on()
{
    local left
    left=$(on "$1" sh -c "ls $RUN 2>/dev/null | grep '^$2\\.' | grep -v 'exit\$'; \
        ls /var/lib/quorate/migration 2>/dev/null | grep -v 'gone\$'; \
        ls /etc/pve/priv/migration 2>/dev/null; \
        ss -Htln | grep -o ':600[0-5][0-9] ' | grep -v ':60000 '; \
        ps ax -o args | grep '^/usr/bin/qemu.*vm$2,' | cut -c1-60")
    equal "$left" ''
}

# Nothing of any migration is under way on the node.
quiet()
{
    on "$1" qm migrations | grep -q '^ports: 0 of' &&
        equal "$(on "$1" qm migrations | grep -c -e source -e target)" 0
}

agent_pid()
{
    lab exec "$1" -- pgrep -x quorate-migrate
}

in_state()
{
    on "$1" qm migrations 2>/dev/null | grep "^$2 " | grep -q "$3"
}

exits()
{
    local want=$1 status=0
    shift
    "$@" || status=$?
    equal "$status" "$want"
}

storages()
{
    mkdir -p "$WORK/tank/images"
    on 1 sh -c 'cat >/etc/pve/storage.cfg' <<END
dir: tank
	path $WORK/tank
	content images
	shared 1

dir: disk
	path /var/lib/disk
	content images

dir: other
	path /var/lib/other
	content images
END
    local n
    for n in $(seq 1 "$LAB_NODES"); do
        lab exec "$n" -- mkdir -p /var/lib/disk/images /var/lib/other/images
    done
}

# volume NODE STORAGE VMID NAME FORMAT: 16 MiB that hold something.
volume()
{
    on "$1" pvesm alloc "$2" "$3" "$4" 16M --format "$5" >/dev/null &&
        on "$1" sh -c "qemu-io -f $5 -c 'write -P 0x5a 1M 2M' -c 'write -P 0xa5 9M 1M' \
            \$(pvesm path $2:$3/$4) >/dev/null"
}

# same_content NODE STORAGE VMID NAME FORMAT: it still holds that.
same_content()
{
    on "$1" sh -c "qemu-io -r -U -f $5 -c 'read -P 0x5a 1M 2M' -c 'read -P 0xa5 9M 1M' \
        -c 'read -P 0 4M 4M' \$(pvesm path $2:$3/$4)" | grep -v -e '^read' -e 'ops;' &&
        return 1
    return 0
}

# write_to NODE VMID DRIVE WHAT: the guest's QEMU does that with its disk.
write_to()
{
    on "$1" "$PROBE" qmp "$RUN/$2.qmp" human-monitor-command \
        "{\"command-line\": \"qemu-io drive-$3 \\\"$4\\\"\"}" >/dev/null
}

# snapshots_of NODE STORAGE VMID NAME: each one inside that disk, with a digest of what it holds.
snapshots_of()
{
    on "$1" sh -c "f=\$(pvesm path $2:$3/$4); for s in \$(qemu-img snapshot -l -U \$f |
            awk 'NR > 2 { print \$2 }'); do
            qemu-img convert -U -f qcow2 -l snapshot.name=\$s -O raw \$f /run/snap.raw &&
                echo \$s \$(sha256sum </run/snap.raw) || exit 1
        done; rm -f /run/snap.raw"
}

# moment MS WHAT...: guest 400 of node 1 moves to node 2; so long after its begin WHAT is done.
moment()
{
    local ms=$1
    shift
    was=$(counter 1 400)
    rm -f "$WORK/mo.status"
    (
        trap - EXIT
        on 1 qm migrate 400 node2 --online >"$WORK/mo" 2>&1
        echo $? >"$WORK/mo.status"
    ) &
    sleep "0.$ms"
    "$@" >/dev/null 2>&1
    within 120 test -s "$WORK/mo.status" || return 1
    lab heal
    lab start 1 migrated >/dev/null 2>&1
    lab start 2 migrated >/dev/null 2>&1
    within 120 quiet 1 && within 120 quiet 2 || return 1
    local here=1
    on 1 test -e /etc/pve/nodes/node1/qemu-server/400.conf || here=2
    within 90 placed "$here" 400 && within 60 clean_on $((3 - here)) 400 || return 1
    runs_on "$here" 400 && goes_on "$here" 400 "$was" >/dev/null || return 1
    [ "$here" = 1 ] || on 2 qm migrate 400 node1 --online >/dev/null
}
