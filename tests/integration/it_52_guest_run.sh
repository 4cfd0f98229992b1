#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Goal: guests run, stop, go back and end as their owner says, on real QEMU, and nobody else's.
# Method: two nodes, the counter ROM as guest; each claim is looked at from outside.
# Timeout: 600
. "$(dirname "$0")/lib.sh"
need qemu-system-x86_64 qemu-img as ld python3 ip
BUILD=$(build_dir)
need "$BUILD/cli/qm" "$BUILD/guest/qmeventd"
PROBE=$TOP/tests/integration/guest_probe.py
RUN=/run/qemu-server

as --32 "$TOP/scripts/lib/counter_guest.S" -o "$WORK/rom.o"
ld -m elf_i386 -Ttext 0 --oformat binary "$WORK/rom.o" -o "$WORK/rom"

on()
{
    local node=$1
    shift
    lab exec "$node" -- timeout 120 "$@"
}

# guest NODE VMID LINES...: a configuration with these lines more, and an image.
guest()
{
    local node=$1 vmid=$2
    shift 2
    mkdir -p "$WORK/tank/images/$vmid"
    qemu-img create -q -f qcow2 "$WORK/tank/images/$vmid/vm-$vmid-disk-0.qcow2" 8M
    on "$node" sh -c "cat >/etc/pve/nodes/node$node/qemu-server/$vmid.conf" <<END
args: -bios $WORK/rom
cpu: qemu64,flags=-apic
kvm: 0
memory: 64
name: counter$vmid
scsi0: tank:$vmid/vm-$vmid-disk-0.qcow2,size=8M
serial0: socket
vga: serial0
$(printf '%s\n' "$@")
END
}

counter()
{
    on "$1" "$PROBE" counter "$RUN/$2.serial0"
}

status_is()
{
    equal "$(on "$1" qm status "$2" 2>&1)" "status: $3"
}

ended()
{
    on "$1" grep -q "\"reason\" : \"$3\"" "$RUN/$2.exit"
}

says()
{
    local text=$1
    shift
    "$@" >"$WORK/said" 2>&1
    grep -q -- "$text" "$WORK/said" || {
        cat "$WORK/said"
        return 1
    }
}

nothing_left()
{
    local left
    left=$(on "$1" sh -c "ls $RUN | grep '^$2\\.' | grep -v exit")
    equal "$left" ''
}

lab_up -n 2
on 1 mkdir -p /etc/pve/nodes/node1/qemu-server /etc/pve/nodes/node2/qemu-server
on 1 sh -c 'cat >/etc/pve/storage.cfg' <<END
dir: tank
	path $WORK/tank
	content images,snippets
	shared 1
END
mkdir -p "$WORK/tank/images" "$WORK/tank/snippets"

# ------------------------------------------------------------------------------ start and stop
cat >"$WORK/tank/snippets/hook" <<END
#!/bin/sh
echo "\$1 \$2" >>$WORK/hooks
END
chmod +x "$WORK/tank/snippets/hook"
guest 1 100 'hookscript: tank:snippets/hook' 'virtio0: tank:100/vm-100-disk-1.raw,size=10486K'
truncate -s 10486K "$WORK/tank/images/100/vm-100-disk-1.raw"
on 1 touch /etc/pve/qemu-server/100.conf.tmp.1 /etc/pve/qemu-server/199.conf.tmp.4711
check 'a guest starts, also from a sparse file of odd size' on 1 qm start 100
check 'what killed writers left is gone' equal "$(on 1 ls /etc/pve/qemu-server)" 100.conf
check 'it runs' status_is 1 100 running
check 'its firmware works' counter 1 100
refuse 'it is not started twice' on 1 qm start 100
check 'another node is told who owns it' says "node1" on 2 qm start 100
refuse 'another node does not start it' on 2 qm start 100
check 'all that is known is shown' says '^running-qemu: ' on 1 qm status 100 --verbose
check 'as JSON too' sh -c "$(declare -f lab on); TOP='$TOP' LAB_NAME='$LAB_NAME'
    on 1 qm status 100 --verbose --output-format json | python3 -c '
import json, sys
status = json.load(sys.stdin)
assert status[\"status\"] == \"running\" and status[\"pid\"] > 1, status'"
check 'keys are pressed' on 1 qm sendkey 100 ctrl-alt-delete
refuse 'unknown keys are not' on 1 qm sendkey 100 no-such-key
refuse 'a guest that ignores the power button goes on' on 1 qm shutdown 100 --timeout 1
check 'it still runs' status_is 1 100 running
check 'and is ended when that was asked' on 1 qm shutdown 100 --timeout 1 --forceStop 1
check 'it is off' status_is 1 100 stopped
check 'how it ended is written down' ended 1 100 stopped
check 'its files are gone' nothing_left 1 100
check 'the hook script saw all' equal "$(tr '\n' ' ' <"$WORK/hooks")" \
    '100 pre-start 100 post-start 100 pre-stop 100 pre-stop 100 post-stop '
check 'stopping what does not run is fine' on 1 qm stop 100
check 'waiting for it too' on 1 qm wait 100 --timeout 1

# ------------------------------------------------------------------------------------ huge pages
POOL=/sys/kernel/mm/hugepages/hugepages-2048kB
pool_has()
{
    equal "$(on 1 cat $POOL/nr_hugepages)" "$1"
}
had=$(on 1 cat $POOL/nr_hugepages 2>/dev/null)
if [ -n "$had" ] && on 1 sh -c "echo $((had + 40)) >$POOL/nr_hugepages" 2>/dev/null &&
    pool_has $((had + 40)) >/dev/null; then
    on 1 sh -c "echo $had >$POOL/nr_hugepages"
    guest 1 102 'hugepages: 2' 'numa: 1'
    missing=$((32 - $(on 1 cat $POOL/free_hugepages)))
    more=$((missing > 0 ? missing : 0))
    check 'a guest in huge pages that nobody set aside' on 1 qm start 102
    check 'as many as were missing are there now' pool_has $((had + more))
    on 1 qm stop 102
    check 'and are gone with the guest' pool_has "$had"
    on 1 sh -c 'echo "keephugepages: 1" >>/etc/pve/qemu-server/102.conf'
    check 'those that shall stay' on 1 qm start 102
    on 1 qm stop 102
    check 'do' pool_has $((had + more))
    on 1 sh -c "echo $had >$POOL/nr_hugepages"
    guest 1 102 'hugepages: 2' 'numa: 1' 'memory: 67108864'
    check 'more than there is' says 'hugepages: .* MiB of pages are missing' \
        on 1 qm start 102
    check 'changes nothing' pool_has "$had"
    check 'and leaves nothing' nothing_left 1 102
    on 1 rm /etc/pve/qemu-server/102.conf
fi

# ------------------------------------------------------------------------------- wrong in advance
guest 1 101 'net0: virtio,bridge=nobridge'
check 'a missing bridge is named' says "net0: there is no bridge 'nobridge'" on 1 qm start 101
guest 1 101
rm "$WORK/tank/images/101/vm-101-disk-0.qcow2"
check 'a missing volume is named' says "scsi0: volume 'tank:101/vm-101-disk-0.qcow2'" \
    on 1 qm start 101
guest 1 101 'args: -device no-such-device'
check "QEMU's own reason is told" says "no-such-device" on 1 qm start 101
check 'a failed start leaves nothing' nothing_left 1 101
guest 1 101 'scsi1: tank:../../etc/shadow'
check 'a volume cannot leave its storage' says "tank:../../etc/shadow' must not" \
    on 1 qm start 101
guest 1 101 'template: 1'
check 'a template does not start' says 'template' on 1 qm start 101
guest 1 101 'lock: backup'
refuse 'a locked guest does not start' on 1 qm start 101
check 'unless told so' on 1 qm start 101 --skiplock
check 'and stops only so' says "lock" on 1 qm stop 101
check 'with --skiplock' on 1 qm stop 101 --skiplock

# ------------------------------------------------------------------------------- who may start
both_start()
{
    on 1 qm start 102 >"$WORK/a" 2>&1 &
    on 2 qm start 102 >"$WORK/b" 2>&1
    local second=$?
    wait $!
    local first=$?
    cat "$WORK/a" "$WORK/b"
    [ "$first" = 0 ] && [ "$second" != 0 ]
}
guest 1 102
check 'of two nodes that start one guest at once the owner does' both_start
check 'one node runs it' status_is 1 102 running
twice()
{
    on 1 qm start 103 >"$WORK/a" 2>&1 &
    on 1 qm start 103 >"$WORK/b" 2>&1
    local second=$?
    wait $!
    local first=$?
    cat "$WORK/a" "$WORK/b"
    [ $((first + second)) = 1 ]
}
guest 1 103
check 'of two starts at once one does it' twice
check 'moved while it is off, it belongs to the other' on 1 sh -c 'qm stop 103 &&
    mv /etc/pve/nodes/node1/qemu-server/103.conf /etc/pve/nodes/node2/qemu-server/'
check 'its old owner does not start it' says 'node2' on 1 qm start 103
check 'its new owner does' on 2 qm start 103
on 2 qm stop 103

# --------------------------------------------------------------------------------- unseen ends
lab kill 1 qmeventd
check 'a guest outlives the event daemon' counter 1 102
on 1 sh -c "kill -9 \$(cat $RUN/102.pid)"
check 'killed while nobody looks, it is off' within 30 status_is 1 102 stopped
lab start 1
check 'the daemon finds that afterwards' within 60 ended 1 102 crashed
check 'and cleans up' within 30 nothing_left 1 102
check 'it starts again' on 1 qm start 102
on 1 sh -c "kill -9 \$(cat $RUN/102.pid)"
check 'an end is seen as it comes' within 60 nothing_left 1 102
guest 1 102 'reboot: 0'
check 'a guest that turns itself off' on 1 sh -c "qm start 102 && qm reset 102"
check 'is ended by the daemon' within 60 ended 1 102 shutdown

# ------------------------------------------------------------------------------------ snapshots
guest 1 104 'unused0: tank:104/vm-104-disk-9.qcow2' 'vmgenid: 0c7b3f1e-3f4d-4c27-9f6a-111111111111'
on 1 qm start 104
first=$(counter 1 104)
check 'a snapshot with memory' on 1 qm snapshot 104 one --vmstate --description 'before the change'
second=$(counter 1 104)
check 'the guest goes on after it' test "$second" -gt "$first"
check 'another without' on 1 qm snapshot 104 two
refuse 'names are given once' on 1 qm snapshot 104 two
refuse 'bad names are refused' on 1 qm snapshot 104 ../x
# So far that the time a busy machine takes to look after the rollback does not matter.
far=$(counter 1 104)
far=$((far + 200 + 8 * (far - second)))
beyond()
{
    third=$(counter 1 104) && [ "$third" -gt "$far" ]
}
check 'and on' within 120 beyond
third=$(counter 1 104)
check 'going back' on 1 qm rollback 104 one
back=$(counter 1 104)
check "takes the memory back too ($second, $third, back $back)" test "$back" -lt "$third"
check 'what is unused now stays known' \
    on 1 grep -q '^unused0: tank:104' /etc/pve/qemu-server/104.conf
check 'its generation is another one' on 1 sh -c \
    '! sed "/^\[/,\$d" /etc/pve/qemu-server/104.conf | grep -q 111111111111'
check 'the tree is shown' says '^ `-> two' on 1 qm listsnapshot 104
check 'with the place of now' says '^ `-> current  *You are here!' on 1 qm listsnapshot 104
check 'a snapshot is removed while it runs' on 1 qm delsnapshot 104 two
check 'and with its memory' on 1 qm delsnapshot 104 one
check 'nothing of them is left' equal "$(ls "$WORK/tank/images/104") $(
    qemu-img snapshot -U -l "$WORK/tank/images/104/vm-104-disk-0.qcow2" | wc -l)" \
    'vm-104-disk-0.qcow2 0'

# ------------------------------------------------------------------------------- suspend, resume
check 'paused' on 1 sh -c 'qm suspend 104 && qm status 104 | grep -q paused'
check 'and going on' on 1 sh -c 'qm resume 104 && qm status 104 | grep -q running'
before=$(counter 1 104)
check 'suspended to disk' on 1 qm suspend 104 --todisk
check 'QEMU is gone' status_is 1 104 stopped
check 'it says so' ended 1 104 suspended
check 'a start goes on from there' on 1 qm start 104
after=$(counter 1 104)
check "with the memory it had ($before, $after)" test "$after" -gt "$before"
check 'the saved memory is gone' equal "$(ls "$WORK/tank/images/104")" 'vm-104-disk-0.qcow2'
on 1 qm stop 104

# A storage that is full: the memory does not fit.
full()
{
    mkdir -p "$WORK/full"
    on 1 mount -t tmpfs -o size=300k none "$WORK/full"
    on 1 sh -c "printf 'dir: full\n\tpath $WORK/full\n\tcontent images\n' >>/etc/pve/storage.cfg"
}
full
guest 1 105 'vmstatestorage: full'
on 1 qm start 105
refuse 'a full storage fails the snapshot' on 1 qm snapshot 105 big --vmstate
check 'the guest runs on' status_is 1 105 running
check 'and counts' counter 1 105
check 'nothing is left of it' equal \
    "$(on 1 sh -c "cat /etc/pve/qemu-server/105.conf; find $WORK/full -type f" |
        grep -E 'lock|snapstate|\[big|vm-105-state'
    qemu-img snapshot -U -l "$WORK/tank/images/105/vm-105-disk-0.qcow2")" ''
refuse 'nor does suspending' on 1 qm suspend 105 --todisk
check 'which lets it go on as well' status_is 1 105 running
on 1 qm stop 105

# -------------------------------------------------------------------------------------- network
if on 1 test -e /dev/net/tun; then
    on 1 ip link add vmbr0 type bridge
    on 1 ip link set vmbr0 up
    on 1 ip link add vmbr1 type bridge
    on 1 ip link set vmbr1 up
    guest 1 106 'net0: virtio=BC:24:11:00:00:0A,bridge=vmbr0' \
        'net1: e1000,bridge=vmbr0,firewall=1' \
        'net2: virtio,link_down=1'
    check 'a guest with network' on 1 qm start 106
    check 'its taps are connected' on 1 sh -c '
        test -e /sys/class/net/vmbr0/brif/tap106i0 && test -e /sys/class/net/vmbr0/brif/fwpr106p1 &&
        test -e /sys/class/net/fwbr106i1/brif/tap106i1 &&
        test -e /sys/class/net/fwbr106i1/brif/fwln106i1'
    card()
    {
        on 1 qm set 106 --net0 "virtio=BC:24:11:00:00:0A,$1"
    }
    ports()
    {
        on 1 sh -c "ls /sys/class/net/$1/brif | grep -E '106[ip]0'"
    }
    check 'a card gets another bridge' card bridge=vmbr1,firewall=1
    check 'at once' equal "$(ports vmbr1) $(ports vmbr0)" 'fwpr106p0 '
    check 'and goes back' card bridge=vmbr0
    check 'at once' equal "$(ports vmbr0) $(ports vmbr1)" 'tap106i0 '
    check 'a bridge that is not there' says 'waits .* no bridge' card bridge=nobridge
    check 'changes nothing' equal "$(ports vmbr0)" tap106i0
    card bridge=vmbr0
    check 'another card' on 1 qm set 106 --net3 e1000,bridge=vmbr1
    check 'is connected' on 1 test -e /sys/class/net/vmbr1/brif/tap106i3
    check 'a guest that does not give it up' says 'net3 waits .* within 20 s' \
        on 1 qm set 106 --delete net3
    check 'keeps it' on 1 test -e /sys/class/net/vmbr1/brif/tap106i3
    on 1 qm stop 106
    check 'which goes with its end' on 1 sh -c '! grep net3 /etc/pve/qemu-server/106.conf'
    check 'nothing of it stays' equal "$(on 1 ls /sys/class/net | grep -E '106')" ''
fi

# ----------------------------------------------------------------------------- shared directory
if [ -x /usr/lib/qemu/virtiofsd ] || [ -x /usr/libexec/virtiofsd ]; then
    mkdir "$WORK/share"
    on 1 sh -c "mkdir -p /etc/pve/mapping && printf 'docs\n\tmap node=node1,path=$WORK/share\n' \
        >/etc/pve/mapping/directory.cfg"
    sharing()
    {
        equal "$(on 1 sh -c "ps ax -o args | grep 'virtiofsd --[f]d.*$WORK/share' | wc -l")" "$1"
    }
    guest 1 113 'virtiofs0: nothing'
    check 'a directory that nobody named' says "virtiofs0: .*'nothing'" on 1 qm start 113
    guest 1 113 'virtiofs0: docs' 'args: -device no-such-device'
    refuse 'a failed start' on 1 qm start 113
    check 'leaves no daemon' within 60 sharing 0
    tpm='#'
    if [ -x /usr/bin/swtpm ]; then
        tpm="tpmstate0: tank:113/vm-113-disk-1.raw,size=4M,version=v2.0"
        qemu-img create -q -f raw "$WORK/tank/images/113/vm-113-disk-1.raw" 4M
    fi
    # What this kernel has of cgroups v1; none is passed over.
    groups='#'
    on 1 sh -c 'mount -t tmpfs none /sys/fs/cgroup && cd /sys/fs/cgroup && mkdir cpu memory &&
        mount -t cgroup -o cpu none cpu && mount -t cgroup -o memory none memory' &&
        groups='cpulimit: 2'
    guest 1 113 'virtiofs0: docs' "$tpm" "$groups"
    check 'a guest with a directory of the host, and a TPM' on 1 qm start 113
    check 'runs' counter 1 113
    cpu=/sys/fs/cgroup/cpu/qemu.slice/113.scope
    memory=/sys/fs/cgroup/memory/qemu.slice/113.scope
    if [ "$groups" != '#' ]; then
        members()
        {
            # shellcheck disable=SC2016
            on 1 sh -c 'for p in $(cat "$0"/cgroup.procs); do cat /proc/$p/comm; done' "$1" |
                sort -u | tr '\n' ' '
        }
        [ "$tpm" = '#' ] && all='qemu-system-x86 virtiofsd ' ||
            all='qemu-system-x86 swtpm virtiofsd '
        check 'all its programs are in its group' equal "$(members $cpu)" "$all"
        check 'none is outside' equal "$(on 1 sh -c "ps ax -o pid,args |
            grep 'virtiofsd --[f]d.*$WORK/share' | awk '{print \$1}' |
            grep -cvxf $cpu/cgroup.procs")" 0
        check 'their memory is bounded' equal "$(members $memory) $(
            on 1 cat $memory/memory.limit_in_bytes)" "$all $(((64 + 16 + 4096) << 20))"
    fi
    on 1 qm stop 113
    check 'its daemon goes with it' within 60 sharing 0
    no_tpm()
    {
        equal "$(on 1 pgrep -f "$RUN/113.[s]wtpm")" ''
    }
    no_group()
    {
        equal "$(on 1 sh -c "ls -d $cpu $memory 2>/dev/null")" ''
    }
    check 'and its TPM' within 60 no_tpm
    check 'and its group' within 60 no_group
    guest 1 113 "$tpm" 'args: -device no-such-device'
    refuse 'a failed start with a TPM' on 1 qm start 113
    check 'leaves none' within 60 no_tpm
fi

# --------------------------------------------------------------------------------------- screen
guest 1 110 'vga: std'
check 'a guest with a screen' on 1 qm start 110
greeting()
{
    lab exec 1 -- sh -c 'sleep 12 | LC_PVE_TICKET=secret12 timeout 60 qm vncproxy 110' 2>&1 |
        head -c 3
}
check 'a viewer is greeted' equal "$(greeting)" RFB
check 'a serial line can be left' equal "$(lab exec 1 -- sh -c 'printf "\017" |
    timeout 60 qm terminal 110 >/dev/null 2>&1; echo $?')" 0
refuse 'a port that is not there' on 1 qm terminal 110 --iface serial3
on 1 qm stop 110

# ---------------------------------------------------------------------------------- all, and HA
guest 1 110 'onboot: 1' 'startup: order=2,down=1'
guest 1 111 'onboot: 1' 'startup: order=1,down=1'
guest 1 112
check 'all start in their order' equal "$(on 1 qm startall 2>&1 | grep starting | tr '\n' ' ')" \
    'starting VM 111 starting VM 110 '
check 'those that want to' status_is 1 112 stopped
check 'and stop' on 1 qm stopall
check 'all of them' equal "$(on 1 sh -c 'ls /run/qemu-server/*.pid 2>/dev/null')" ''
on 1 sh -c 'mkdir -p /etc/pve/ha && printf "vm: 112\n\tstate stopped\n" >/etc/pve/ha/resources.cfg'
mkdir "$WORK/bin"
printf '#!/bin/sh\necho "$@" >%s/asked\n' "$WORK" >"$WORK/bin/ha-manager"
chmod +x "$WORK/bin/ha-manager"
check 'a guest of HA is started by HA' says 'Requesting HA start' \
    on 1 sh -c "PATH=$WORK/bin:\$PATH qm start 112"
check 'which was told' equal "$(cat "$WORK/asked")" 'set vm:112 --state started'
check 'not here' status_is 1 112 stopped
check 'HA itself starts it' lab exec 1 -- env QUORATE_HA_AGENT=1 qm start 112
check 'and stops it' lab exec 1 -- env QUORATE_HA_AGENT=1 qm stop 112

# --------------------------------------------------------------------------------- bad monitors
# fake NODE HOW: a process that looks like the QEMU of guest 107.
fake()
{
    on "$1" mkdir -p "$RUN"
    lab exec "$1" -- setsid -f "$PROBE" fake "$RUN/107.pid" "$RUN/107.qmp" "$2" \
        -pidfile "/var/run/qemu-server/107.pid" >/dev/null 2>&1 </dev/null
    within 30 on "$1" test -e "$RUN/107.pid"
}
guest 1 107
for how in silent liar eternal; do
    fake 1 $how
    check "a monitor that is $how does not hold up status" on 1 timeout 60 qm status 107
    refuse "nor a snapshot" on 1 timeout 100 qm snapshot 107 x
    check "nor the end" on 1 timeout 100 qm stop 107 --timeout 1
    check "which is real" status_is 1 107 stopped
    check 'the file has no traces' equal \
        "$(on 1 grep -E 'lock|snap' /etc/pve/qemu-server/107.conf)" ''
done

# ----------------------------------------------------------------------------- arriving guests
guest 1 108
check 'a process for an arriving guest' says '^ready: ' \
    on 2 qm start 108 --skiplock --migratedfrom node1 --migration_type agent --stateuri defer
check 'waits' says 'inmigrate' on 2 "$PROBE" qmp $RUN/108.mig query-status
refuse 'and is not let go by mistake' on 2 qm resume 108
check 'it is ended without touching the file' on 2 qm stop 108 --skiplock --migratedfrom node1
check 'and leaves nothing' nothing_left 2 108

# ------------------------------------------------------------------------------------- no quorum
guest 1 109
on 1 qm start 109
lab kill 2
no_quorum()
{
    says 'quorum' on 1 qm start 108
}
check 'without quorum nothing is started' within 60 no_quorum
check 'what runs goes on' counter 1 109
check 'and may be stopped' on 1 qm stop 109
check 'which is seen' status_is 1 109 stopped
finish
