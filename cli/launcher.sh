#!/bin/sh
# kata-fs: the operator's command. The program is ../kata-fs.cjs, run by Node.

unset NODE_OPTIONS
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
command -v "$node" >/dev/null || {
  echo "kata-fs: Node.js not found ($node); install Node.js 20 or newer or set KATA_FS_NODE" >&2
  exit 1
}
exec "$node" "$here/../kata-fs.cjs" "$@"
