#!/bin/sh
# kata-fsd: serves a directory to a virtual machine over virtio-fs. The daemon is ../fsd.cjs, run by Node.
#
# With --sandbox=namespace the daemon has namespaces of its own. It must be born in them: Node has several threads, all of
# which are to be inside, and only a child can be the first process of a pid namespace. unshare(1) and setpriv(1) are part of
# util-linux. This shell stays outside and waits. When it ends, however that happens, the kernel kills the daemon.

unset NODE_OPTIONS NODE_EXTRA_CA_CERTS
program=$0
[ -h "$program" ] && program=$(readlink -f "$program")
case $program in
  */*) here=${program%/*} ;;
  *) here=. ;;
esac
node=${KATA_FS_NODE:-node}
fsd=$here/../fsd.cjs

# What concerns this shell. The daemon reads the options again, and refuses what is wrong with them.
sandbox=namespace
# What is taken from all of Node's threads at once. The daemon needs more to close itself in than it keeps afterwards; see
# fsd/sandbox/privileges.ts. unshare(1) needs "kill": its end is to kill the daemon, some of whose threads are another user's by then.
bounding=-all,+kill,+chown,+dac_override,+fowner,+fsetid,+setgid,+setuid,+mknod,+setfcap,+sys_admin,+setpcap,+sys_resource
expected=
for word; do
  case $expected$word in
    --sandbox=none | --sandbox=chroot | -o*sandbox=none* | -o*sandbox=chroot*) sandbox=none ;;
    --sandbox=*) sandbox=namespace ;;
    --modcaps=* | -o*modcaps=*) bounding=+all ;;
    --help | -h | --version | -V | --print-capabilities) sandbox=none && break ;;
  esac
  case $word in
    --sandbox | --modcaps) expected=$word= ;;
    -o) expected=$word ;;
    *) expected= ;;
  esac
done

[ "$sandbox" = none ] && exec "$node" "$fsd" "$@"

# Removes the sockets of the daemon, which cannot see them. What is there and no socket was in its way.
remove_sockets() {
  expected=
  for word; do
    case $expected$word in
      --socket-path=* | --socket=* | --metrics-socket=*)
        word=$expected$word
        [ -S "${word#*=}" ] && rm -f -- "${word#*=}"
        ;;
    esac
    case $word in
      --socket-path | --socket | --metrics-socket) expected=$word= ;;
      *) expected= ;;
    esac
  done
}

export KATA_FSD_NAMESPACES=1
setpriv --pdeathsig KILL --bounding-set "$bounding" -- \
  unshare --mount --propagation slave --pid --net --ipc --fork --kill-child=KILL -- \
  "$node" "$fsd" "$@" <&0 &
daemon=$!
# A signal that is to end the daemon ends it at once: what the guest has written is in the host's page cache.
is_ended=
trap 'is_ended=yes && kill -s KILL "$daemon"' TERM INT HUP
wait "$daemon"
status=$?
[ -n "$is_ended" ] && wait "$daemon"
remove_sockets "$@"
[ -n "$is_ended" ] && exit 0
# Ends as the daemon ended, by the same signal if it was one.
[ "$status" -gt 128 ] && kill -s $((status - 128)) $$
exit "$status"
