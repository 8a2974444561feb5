#!/bin/sh
# containerd-shim-kata-fs-v2: what containerd executes. The shim itself is dist/shim.cjs, run by Node.
#
# A shell comes first for three reasons. The environment is containerd's, and two of Node's variables in it can triple the
# time that Node takes to start. The shim must live in a mount namespace of its own, which Node has no call for. And most
# runs need no Node at all: the start of a pod's further container, and the delete of a task that ended in order.
#
# containerd takes both stdout and stderr of `start` for the address: nothing else may be printed on success.

unset NODE_OPTIONS NODE_EXTRA_CA_CERTS
export NODE_NO_WARNINGS=1

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
shim=$here/../shim.cjs

fail() {
  printf 'containerd-shim-kata-fs-v2: %s\n' "$1" >&2
  exit 1
}

find_node() {
  node=${KATA_FS_NODE:-}
  [ -n "$node" ] || node=$(command -v node) || node=
  if [ -z "$node" ]; then
    for node in "$here/node" /usr/local/bin/node /usr/bin/node /opt/kata-fs/bin/node ''; do
      [ -x "$node" ] && break
    done
  fi
  [ -x "$node" ] || fail "Node.js not found (${KATA_FS_NODE:-PATH is $PATH}); install Node.js 20 or newer or set KATA_FS_NODE in containerd's environment"
  [ -r "$shim" ] || fail "$shim is missing; run npm run build"
}

# The container's type and sandbox id, if config.json is written as containerd writes it: one line, no spaces. A key within
# another string would have its quotes escaped, so it cannot match. Anything else is left to the shim, which parses JSON.
pod_container_sandbox() {
  [ -r config.json ] || return 1
  sandbox=$(sed -n '/[{,]"io\.kubernetes\.cri\.container-type":"container"[,}]/s/.*[{,]"io\.kubernetes\.cri\.sandbox-id":"\([A-Za-z0-9][A-Za-z0-9._-]*\)"[,}].*/\1/p' config.json)
  [ -n "$sandbox" ]
}

# Where the sandbox's bundle is: beside this one, or where containerd 2 has those of its Sandbox API.
sandbox_bundle() {
  namespace=${PWD%/*}
  for sandboxes in .. "../../../io.containerd.sandbox.controller.v1.shim/${namespace##*/}"; do
    [ -r "$sandboxes/$sandbox/address" ] && return 0
  done
  return 1
}

start() {
  if pod_container_sandbox && sandbox_bundle; then
    address=
    read -r address <"$sandboxes/$sandbox/address"
    case $address in
      unix:///*)
        # One write, and nobody reads it before this start has answered: a rename would be a third of the time of all this.
        printf %s "$address" >address || exit 1
        printf %s "$address"
        exit 0
        ;;
    esac
  fi

  find_node
  # The shim writes its answer, or one line that says why there is none, to descriptor 3 and closes it: that ends the
  # command substitution. What a crash of Node itself prints goes to shim.stderr, which `delete` passes on to containerd.
  exec 4<&0
  export KATA_FS_ANSWER_FD=3
  answer=$(setsid unshare -m --propagation slave "$node" "$shim" "$@" <&4 4<&- 3>&1 >/dev/null 2>shim.stderr &)
  case $answer in
    unix:///* | '{'*) printf %s "$answer" ;;
    '')
      cat shim.stderr >&2
      fail "the shim did not start"
      ;;
    *) fail "$answer" ;;
  esac
}

delete() {
  [ -n "$bundle" ] || bundle=.
  [ -s "$bundle/shim.stderr" ] && cat "$bundle/shim.stderr" >&2
  # Left by the shim when it has cleaned up the task by itself.
  [ -r "$bundle/delete-response" ] && exec cat "$bundle/delete-response"
  find_node
  exec "$node" "$shim" "$@"
}

# The action is the first word that is neither a flag nor the value of one.
bundle=
action=
expect=
for word; do
  if [ -n "$expect" ]; then
    [ "$expect" = bundle ] && bundle=$word
    expect=
    continue
  fi
  case $word in
    -bundle=* | --bundle=*) bundle=${word#*=} ;;
    -*=*) ;;
    -id | --id | -namespace | --namespace | -address | --address | -publish-binary | --publish-binary) expect=value ;;
    -bundle | --bundle) expect=bundle ;;
    -debug | --debug) ;;
    -*) break ;;
    *)
      action=$word
      break
      ;;
  esac
done

case $action in
  start) start "$@" ;;
  delete) delete "$@" ;;
  *)
    find_node
    exec "$node" "$shim" "$@"
    ;;
esac
