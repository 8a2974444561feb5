#!/bin/sh
# PID 1 of the guest until the agent takes its place. It runs no command of its own: under emulation each costs tens of
# milliseconds, and the agent mounts what it needs by system calls.
lib=/usr/lib/kata-fs
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
exec $lib/node/ld.so --library-path $lib/node/lib $lib/node/node --no-warnings $lib/agent.cjs
