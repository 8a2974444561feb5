#!/bin/sh
# kata-fsd: serves a directory to a virtual machine over virtio-fs. The daemon is ../fsd.cjs, run by Node.
#
# With --sandbox=namespace the daemon has namespaces of its own. It must be born in them: Node has several threads, all of which are to be
# inside. This script is then run three times, by unshare(1) and setpriv(1) of util-linux, and ends up as three processes:
#
#   outer   in the namespaces of whoever has started it: waits, and passes signals on
#   init    the first process of a pid namespace, and else outside: waits, starts the daemon anew if it is killed, and removes the sockets,
#           which the daemon cannot see
#   daemon  Node, in mount, network and IPC namespaces as well
#
# SIGUSR1 puts another daemon in the place of the one that serves: of the build that the file KATA_FSD_BUILD names, or anew of the same.
#
# When outer ends, however that happens, the kernel kills init, and with it all of its pid namespace. The daemon itself could
# not ask for that: the kernel forgets a parent-death signal when a process acts as another user, which the daemon does.

unset NODE_OPTIONS NODE_EXTRA_CA_CERTS
# Node.js 22 and newer keep what V8 has compiled there for the next start; older ones do not know the variable.
cache=/run/kata-fs
[ -d "$cache" ] || mkdir -m 700 "$cache" 2>/dev/null
[ -w "$cache" ] && export NODE_COMPILE_CACHE="$cache/.node"

program=$0
[ -h "$program" ] && program=$(readlink -f "$program")
case $program in
  */*) here=${program%/*} ;;
  *) here=. ;;
esac
node=${KATA_FS_NODE:-node}
fsd=$here/../fsd.cjs

# Takes what the daemon has said.
sockets=
KATA_FSD_LEFT=
export KATA_FSD_LEFT
hear() {
  echo . >&9
  while read -r file path <&8 && [ "$file" != . ]; do
    case $file in
      keeper) KATA_FSD_LEFT=$path ;;
      *) sockets="$sockets$file $path
" ;;
    esac
  done
}

# Whether another daemon is to go on where the one before was killed, or begin if that had not begun. One that is killed again and again
# would be for ever.
restarts=0
deaths=
deaths_max=${KATA_FSD_DEATHS_MAX:-5}
succeed() {
  [ "$status" -gt 128 ] && [ -z "$ending" ] || return 1
  read -r now _ </proc/uptime
  now=${now%.*}
  deaths="$now $deaths"
  if too_many $deaths; then
    echo "kata-fsd: the worker was ended by $(cause), $deaths_max times within 10 s: giving up" >&2
    return 1
  fi
  [ $((now - upgraded)) -lt 10 ] && fsd=$fsd_before
  restarts=$((restarts + 1))
  echo "kata-fsd: the worker was ended by $(cause); restart $restarts" >&2
}

# Whether the last $deaths_max of these times lie within ten seconds.
too_many() {
  [ $# -lt "$deaths_max" ] && return 1
  last=$1
  shift $((deaths_max - 1))
  [ $((last - $1)) -lt 10 ]
}

# What has ended the daemon. The kernel's killer of processes that take too much memory counts what it does.
oom_kills() {
  path=$(sed -n 's/^0:://p' /proc/self/cgroup)
  sed -n 's/^oom_kill //p' "/sys/fs/cgroup$path/memory.events" 2>/dev/null
}
cause() {
  case $((status - 128)) in
    9) [ "$(oom_kills)" = "$oom_kills_before" ] && echo SIGKILL || echo 'SIGKILL, being out of memory' ;;
    11) echo 'SIGSEGV, in native code' ;;
    31) echo 'SIGSYS, for a system call that it may not make' ;;
    *) echo "signal $((status - 128))" ;;
  esac
}

# Waits for process $1, or until an upgrade is asked for; asks the process to end when a signal asks for that. A signal interrupts wait.
status=0
ending=
upgrading=
serving=
await() {
  child=$1
  trap 'ending=1; kill -s TERM "$child" $serving 2>/dev/null' TERM INT HUP
  while
    wait "$child"
    status=$?
    [ -z "$upgrading" ] && kill -s 0 "$child" 2>/dev/null
  do :; done
}

start() {
  KATA_FSD_STAGE=daemon KATA_FSD_SOCKETS=9 unshare --mount --propagation slave --net --ipc -- "$node" "$fsd" "$@" <&0 8<&- &
  daemon=$!
}

# Starts a daemon that takes the place of $daemon once it is sure that it can: that one then serves no more, and else goes on.
upgraded=-10
fsd_before=$fsd
upgrade() {
  upgrading=
  # One that has not begun has nothing to leave yet.
  [ -n "$KATA_FSD_LEFT" ] && ! is_coming || return 0
  left=$KATA_FSD_LEFT
  serving=$daemon
  fsd_before=$fsd
  [ -r "${KATA_FSD_BUILD:-}" ] && read -r fsd <"$KATA_FSD_BUILD"
  read -r upgraded _ </proc/uptime
  upgraded=${upgraded%.*}
  export KATA_FSD_LIVING="$serving"
  start "$@"
  unset KATA_FSD_LIVING
}

# Whether a daemon was started by upgrade and has not taken over.
is_coming() {
  [ -n "$serving" ] && [ "$KATA_FSD_LEFT" = "$left" ]
}
stay() {
  echo "kata-fsd: $fsd did not come up, exit status $status; $fsd_before goes on" >&2
  fsd=$fsd_before
  daemon=$serving
  serving=
}

stage=${KATA_FSD_STAGE:-}
export KATA_FSD_STAGE
case $stage in
  outer)
    # What is taken from all of Node's threads at once. The daemon needs more to close itself in than it keeps afterwards; see
    # fsd/sandbox/privileges.ts.
    trap 'kill -s USR1 "$child"' USR1
    KATA_FSD_STAGE=init KATA_FSD_OUTER=$$ setpriv --pdeathsig KILL --bounding-set "$KATA_FSD_BOUNDING" -- "$program" "$@" <&0 &
    await $!
    # Ends as the daemon has ended: by the same signal if it was one.
    trap - TERM INT HUP
    ulimit -c 0
    [ "$status" -gt 128 ] && kill -s $((status - 128)) $$
    exit "$status"
    ;;
  init)
    # Should outer have ended before setpriv had its say: /proc is that of outer's pid namespace. Z is a zombie.
    read -r stat <"/proc/$KATA_FSD_OUTER/stat" || exit 1
    case $stat in *') Z '*) exit 1 ;; esac
    unset KATA_FSD_OUTER KATA_FSD_BOUNDING
    # A pipe without a process at its other end: the daemon says by it which files its sockets are, which it cannot see later, and which
    # process keeps what it has open, for the daemon that comes after it.
    exec 8<<-SOCKETS
	SOCKETS
    exec 9>/proc/self/fd/8
    oom_kills_before=$(oom_kills)
    trap upgrading=1 USR1
    start "$@"
    while
      await "$daemon"
      hear
      if [ -n "$upgrading" ]; then
        upgrade "$@"
      elif is_coming; then
        stay
      else
        serving=
        succeed && start "$@"
      fi
    do :; done
    # Another daemon may have put its own in their places.
    printf '%s' "$sockets" | while read -r file path; do
      [ "$(stat -c %d:%i -- "$path" 2>/dev/null)" = "$file" ] && rm -f -- "$path"
    done
    exit "$status"
    ;;
esac

# What concerns this script. The daemon reads the options again, and refuses what is wrong with them.
sandbox=namespace
KATA_FSD_BOUNDING=-all,+chown,+dac_override,+fowner,+fsetid,+setgid,+setuid,+mknod,+setfcap,+sys_admin,+setpcap,+sys_resource
expected=
for word; do
  case $expected$word in
    --sandbox=none | --sandbox=chroot | -o*sandbox=none* | -o*sandbox=chroot*) sandbox=none ;;
    --sandbox=*) sandbox=namespace ;;
    --modcaps=* | -o*modcaps=*) KATA_FSD_BOUNDING=+all ;;
    --help | -h | --version | -V | --print-capabilities) sandbox=none && break ;;
  esac
  case $word in
    --sandbox | --modcaps) expected=$word= ;;
    -o) expected=$word ;;
    *) expected= ;;
  esac
done

[ "$sandbox" = none ] && exec "$node" "$fsd" "$@"
export KATA_FSD_BOUNDING
while read -r key uid _; do
  [ "$key" = Uid: ] && break
done </proc/self/status
[ "$uid" = 0 ] && KATA_FSD_STAGE=outer exec unshare --pid -- "$program" "$@"
# Who is not root has the privileges that this takes in a user namespace of its own, and nobody's files but its own.
KATA_FSD_STAGE=outer exec unshare --user --map-current-user --keep-caps --pid -- "$program" "$@"
