#!/bin/sh
# kata-fsd: serves a directory to a virtual machine over virtio-fs. The daemon is ../fsd.cjs, run by Node.
unset NODE_OPTIONS NODE_EXTRA_CA_CERTS
program=$0
[ -h "$program" ] && program=$(readlink -f "$program")
case $program in
  */*) here=${program%/*} ;;
  *) here=. ;;
esac
exec "${KATA_FS_NODE:-node}" "$here/../fsd.cjs" "$@"
