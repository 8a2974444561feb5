#!/bin/sh
# kata-fs: the operator's command. The program is ../kata-fs.cjs, run by Node.

unset NODE_OPTIONS
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
