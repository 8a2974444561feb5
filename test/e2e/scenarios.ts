/** A container that a runtime must treat as runc does: the same output, exit status, and gist of the error. */
export interface Scenario {
  readonly name: string;
  /** Words for ctr before the image. @param directory of the host, empty, for this scenario alone */
  readonly flags?: (directory: string) => readonly string[];
  /** A flag that the ctr of old containerds does not have. */
  readonly newFlag?: string;
  readonly command: readonly string[];
  /** More than a pipe holds: ctr does not tell runc of the end of input that ends before the container is there. */
  readonly input?: () => Buffer;
  /** What ctr prints for a container that is refused. Without it standard error is compared, too. */
  readonly error?: RegExp;
  /** Leaves out of the output what differs by nature, such as the guest's own. */
  readonly normalise?: (output: string) => string;
}

const MIB = 1024 * 1024;

const sh = (script: string) => ["/bin/sh", "-c", script];

/** Lines of /proc/self/status, without the space that kernels align with. */
const statusLines = (pattern: string) =>
  sh(`cat /proc/self/status | busybox grep -E '^(${pattern}):' | busybox tr -s ' \t' ' '`);

/** The kernels of guest and host may know capabilities that the other does not. */
const OLD_CAPABILITIES = (1n << 38n) - 1n;

const oldCapabilities = (output: string) =>
  output.replace(/[0-9a-f]{16}/g, (mask) => (BigInt(`0x${mask}`) & OLD_CAPABILITIES).toString(16));

const environment = (count: number, bytes: number) => () =>
  Array.from({ length: count }, (_, index) => ["--env", `LARGE_${index}=${"x".repeat(bytes)}`]).flat();

export const SCENARIOS: readonly Scenario[] = [
  { name: "output and status 0", command: ["/bin/echo", "hello"] },
  { name: "an exit status", command: sh("exit 42") },
  { name: "the largest exit status", command: sh("exit 255") },
  { name: "killed by a signal of its own", command: sh("kill -9 $$; exit 7") },
  { name: "a child that is killed", command: sh("sh -c 'kill -KILL $$'; echo $?") },
  { name: "standard error apart from output", command: sh("echo out; echo err >&2; exit 3") },
  {
    name: "64 MiB of input",
    command: ["/bin/md5sum"],
    input: () => Buffer.alloc(64 * MIB, "sixty-four mebibytes of these\n"),
  },
  { name: "a million lines", command: sh("busybox seq 1 1000000") },
  { name: "binary output", command: sh("busybox dd if=/data/sample.bin bs=64k count=16 2>/dev/null") },
  {
    name: "a child that holds the output after its parent's end",
    command: sh("(sleep 2; echo late) & exit 0"),
  },
  { name: "arguments as they are", command: ["/bin/echo", "", "a b", "*", "$HOME", "\\n", "ü", "'\""] },
  { name: "command not found", command: ["/bin/no-such"], error: /no-such.*no such file or directory/s },
  { name: "command not in PATH", command: ["no-such"], error: /no-such.*executable file not found/s },
  { name: "command that cannot be executed", command: ["/etc/passwd"], error: /passwd.*permission denied/s },
  {
    name: "command that is a directory",
    command: ["/data"],
    error: /data.*(permission denied|is a directory)/s,
  },
  { name: "command by PATH", command: ["uname"] },
  { name: "working directory", flags: () => ["--cwd", "/data"], command: sh("pwd; ls") },
  { name: "working directory that is made", flags: () => ["--cwd", "/new/one"], command: sh("pwd") },
  {
    name: "working directory that is a file",
    flags: () => ["--cwd", "/etc/passwd"],
    command: sh("pwd"),
    error: /(not a directory|mkdir)/,
  },
  {
    name: "user by numbers",
    newFlag: "--user",
    flags: () => ["--user", "1234:5678"],
    command: sh("id -u; id -g; touch /x 2>&1"),
  },
  { name: "user by name", newFlag: "--user", flags: () => ["--user", "root"], command: ["/bin/id"] },
  {
    name: "user that is not there",
    newFlag: "--user",
    flags: () => ["--user", "nobody-here"],
    command: ["/bin/id"],
    error: /no users found/,
  },
  { name: "environment", flags: () => ["--env", "A=1", "--env", "B=two words"], command: ["/bin/env"] },
  { name: "1 MiB of environment", flags: environment(16, 64 * 1024), command: sh("env | busybox wc -c") },
  { name: "umask", command: sh("umask; echo > /tmp/x; stat -c %a /tmp/x") },
  { name: "first process and its parent", command: sh("echo $$; cat /proc/1/comm; echo $PPID") },
  { name: "processes of its own", command: sh("echo /proc/[0-9]*") },
  { name: "root that can be written", command: sh("echo kept > /x && cat /x; busybox rm /x; ls /x 2>&1") },
  {
    name: "root that cannot be written",
    flags: () => ["--read-only"],
    command: sh("echo > /x; echo > /tmp/y; echo > /dev/shm/z; echo $?"),
  },
  {
    name: "bind mount",
    flags: (directory) => ["--mount", `type=bind,src=${directory},dst=/mnt,options=rbind:rw`],
    command: sh("echo from the container > /mnt/file; cat /mnt/file; stat -c '%a %u %g' /mnt/file"),
  },
  {
    name: "bind mount, read-only",
    flags: (directory) => ["--mount", `type=bind,src=${directory},dst=/mnt,options=rbind:ro`],
    command: sh("echo > /mnt/file; ls /mnt"),
  },
  {
    name: "bind mount of nothing",
    flags: (directory) => ["--mount", `type=bind,src=${directory}/missing,dst=/mnt,options=rbind:rw`],
    command: sh("ls /mnt"),
    error: /no such file or directory.*missing|missing.*no such file or directory/s,
  },
  {
    name: "tmpfs",
    flags: () => ["--mount", "type=tmpfs,src=tmpfs,dst=/mnt,options=size=1m:mode=700"],
    command: sh(
      "stat -c '%a' /mnt; busybox dd if=/dev/zero of=/mnt/x bs=1024 count=4096 2>&1 | head -n1; echo $?",
    ),
  },
  // crun adds /dev/core, as udev does.
  {
    name: "devices",
    command: sh("ls /dev | busybox grep -v core; echo x > /dev/null; head -c 4 /dev/zero | md5sum"),
  },
  { name: "a device that is not allowed", command: sh("busybox mknod /tmp/mem c 1 1 && head -c1 /tmp/mem") },
  {
    name: "a device more",
    flags: () => ["--device", "/dev/full"],
    command: sh("stat -c '%t %T %a' /dev/full; echo x > /dev/full"),
  },
  { name: "capabilities", command: statusLines("CapInh|CapPrm|CapEff|CapBnd|CapAmb") },
  {
    name: "a capability more",
    flags: () => ["--cap-add", "CAP_SYS_TIME"],
    command: statusLines("CapPrm|CapEff|CapBnd"),
  },
  {
    name: "a capability less",
    flags: () => ["--cap-drop", "CAP_CHOWN"],
    command: sh("busybox chown 1:1 /etc/passwd; echo $?"),
  },
  {
    name: "an ordinary user's capabilities",
    newFlag: "--user",
    flags: () => ["--user", "1000"],
    command: statusLines("CapPrm|CapEff"),
  },
  {
    name: "privileged",
    flags: () => ["--privileged"],
    command: statusLines("CapPrm|CapEff|CapBnd"),
    normalise: oldCapabilities,
  },
  { name: "no new privileges", command: statusLines("NoNewPrivs") },
  { name: "new privileges", flags: () => ["--allow-new-privs"], command: statusLines("NoNewPrivs") },
  { name: "system calls filtered", flags: () => ["--seccomp"], command: statusLines("Seccomp") },
  {
    name: "a system call that the filter refuses",
    flags: () => ["--seccomp"],
    command: sh("busybox unshare -U true 2>&1; echo $?"),
  },
  { name: "system calls not filtered", command: statusLines("Seccomp") },
  { name: "limits", command: sh("ulimit -n; ulimit -Hn; ulimit -c") },
  { name: "masked paths", command: sh("cat /proc/keys /proc/timer_list; ls /proc/scsi /sys/firmware") },
  {
    name: "read-only paths",
    command: sh("echo 1 > /proc/sys/kernel/panic"),
  },
  { name: "mount is refused", command: sh("mount -t tmpfs none /mnt 2>&1; echo $?") },
  {
    name: "out of memory",
    flags: () => ["--memory-limit", `${32 * MIB}`],
    command: sh("exec busybox tail /dev/zero"),
  },
  { name: "unlinked and open", command: sh("exec 3<>/x; busybox rm /x; echo kept >&3; cat /proc/self/fd/3") },
  {
    name: "hard and symbolic links",
    command: sh(
      "busybox ln /etc/passwd /p; busybox ln -s p /q; stat -c '%h %s' /p; ls -l /q | busybox cut -c1",
    ),
  },
];
