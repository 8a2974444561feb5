import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { lstatSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { gunzipSync } from "node:zlib";
import { hostList, hostSet } from "../../fsd/testing/host-xattr.js";
import { IMAGE_NAME } from "../../setup/run/demo-image.js";
import { type Changes, Machine, RUNTIME } from "./machine.js";
import { guestWith } from "./newer-guest.js";
import { tarMembers } from "./tar-members.js";
import { treeListing } from "./tree-listing.js";

const SERIES = "1.7";
const RUNC = "io.containerd.runc.v2";

/** Perl, which every Debian has, with the host's /usr at /host: for system calls that no small tool makes. */
const LIBRARIES = "/host/lib/x86_64-linux-gnu";
const PERL = `${LIBRARIES}/ld-linux-x86-64.so.2 --library-path ${LIBRARIES} /host/bin/perl -e`;
const HOST_USR = "type=bind,src=/usr,dst=/host,options=rbind:ro";
const SYS_SETXATTR = 188;
const SYS_LSETXATTR = 189;
/** `FILE NAME VALUE`, the value in hexadecimal. */
const SETXATTR = `${PERL} '($p, $n, $v) = @ARGV; $v = pack("H*", $v);
  syscall(${SYS_SETXATTR}, $p, $n, $v, length $v, 0) == 0 or print "setxattr $p $n: $!\\n"'`;
/** cap_net_raw=ep, version 2. */
const CAPABILITY = "0100000200200000000000000000000000000000";
/** Version 2: user::rw-, user:1:r--, group::r--, mask::r--, other::---. */
const ACL = "0200000001000600ffffffff020004000100000004000400ffffffff10000400ffffffff20000000ffffffff";
/** open(2) with O_TMPFILE, write(2), and linkat(2) by /proc. */
const LINK_NAMELESS_FILE = `${PERL} '$d = "."; $t = "had no name\\n"; $n = "linked";
  $fd = syscall(257, -100, $d, 020200002, 0640); syscall(1, $fd, $t, length $t); $p = "/proc/self/fd/$fd";
  syscall(265, -100, $p, -100, $n, 0x400) == 0 or print "linkat: $!\\n"'`;

/** What the image has at /t: a layer, and one on top of it that hides parts of it. */
const LOWER = `
  for name in file gone rename-me replaced own perm times over hidden becomes-dir capable setid; do echo "lower $name" > $name; done
  mkdir -p replaced-dir kept-dir/sub moved-dir empty-dir opaque/deep becomes-file merged cleared
  for name in replaced-dir/a replaced-dir/b kept-dir/x kept-dir/sub/y moved-dir/inner opaque/deep/old opaque/old; do echo $name > $name; done
  for name in becomes-file/x merged/lower cleared/1 cleared/2; do echo $name > $name; done
  ln -s file link; ln -s nowhere link-gone; ln file hard; mkfifo fifo; mknod device c 1 3
  chown -h 5:6 link; chmod 1777 kept-dir; chmod 6755 setid`;
const UPPER_LAYER = `
  mkdir -p opaque merged; touch opaque/.wh..wh..opq .wh.hidden; echo new > opaque/new; echo upper > merged/upper`;

/** Changes everything in every way, and prints what there is to see before and afterwards. */
const CHANGES = `
  b=/bin/busybox; cd /t
  for name in opaque merged hidden; do $b find $name 2>&1 | $b sort; done
  echo more >> file; $b rm gone; $b mv rename-me renamed
  $b rm -r replaced-dir; $b mkdir replaced-dir; echo c > replaced-dir/c
  $b rm -r kept-dir/sub; $b mkdir -p kept-dir/sub/a; echo x >> kept-dir/x
  $b mv moved-dir other-dir; $b rmdir empty-dir; $b mkdir new-dir; echo n > new-dir/n
  $b rm -r opaque; $b mkdir opaque; $b rm merged/lower; echo u >> merged/upper
  $b rm becomes-dir; $b mkdir becomes-dir; echo z > becomes-dir/z; $b rm -r becomes-file; echo f > becomes-file
  $b rm replaced; echo again > replaced; echo target > target; $b mv -f target over
  $b rm cleared/*; $b rm link-gone; $b ln -s elsewhere link-gone; $b ln -s file new-link; $b chown -h 7:8 link
  $b ln hard hard2; $b ln fifo fifo2; $b mkfifo new-fifo; $b mknod new-device c 1 5; $b mknod block b 7 0
  $b rm device; $b chown 12:34 own; $b chmod 4750 perm; $b touch -d @1000000000 times; $b chmod 700 capable; $b touch -d @1000000000 setid
  $b truncate -s 40M sparse; echo end >> sparse
  ${SETXATTR} times user.mine 31; ${SETXATTR} times user.lower 32; ${SETXATTR} kept-dir user.dir 33
  ${SETXATTR} replaced security.capability ${CAPABILITY}; ${SETXATTR} own system.posix_acl_access ${ACL}
  ${SETXATTR} merged system.posix_acl_default ${ACL}; echo inherits > merged/inherits
  ${LINK_NAMELESS_FILE}
  $b find . | $b sort; $b find . -type f -exec $b md5sum {} + | $b sort -k 2
  $b stat -c '%n %A %u:%g %h %t:%T' * */* | $b grep -v ' d'; $b sync`;

/** Tries to leave what the host's overlay obeys, in the container's root and, past it, in its upper directory itself. */
const hostile = (id: string) => `
  b=/bin/busybox; $b mkdir /m /victim /victim/dir; echo data > /victim/file; $b ln -s x /victim/link
  $b mount -t virtiofs kataOwn /m || exit 3
  ${PERL} '$u = "/m/${id}/upper"; $l = "/m/${id}/lower/0/t";
    sub try { ($p, $n, $v) = @_; $tried++; $accepted += syscall(${SYS_LSETXATTR}, $p, $n, $v, length $v, 0) == 0 }
    for $at ($u, "$u/fs", "$u/fs/victim", "$u/fs/victim/dir", "$u/fs/victim/file", "$u/fs/victim/link", "$u/work", "/victim", $l) {
      for $kind (qw(trusted.overlay. user.overlay. trusted.overlay.overlay. user.kata-fs.trusted.overlay.)) {
        for $mark (qw(redirect metacopy origin upper nlink impure protattr uuid whiteout verity)) {
          try($at, $kind . $mark, "/etc/shadow") } } }
    try("$u/fs/victim/dir", "trusted.overlay.opaque", "y");
    print "$accepted of $tried\\n"'`;

/** A containerd with an image of two layers, whose containers' snapshots stay. */
class Snapshots {
  readonly printed = new Map<string, string>();

  private constructor(readonly machine: Machine) {}

  static async start(series: string, changes: Changes = {}): Promise<Snapshots> {
    const layers = [layer(LOWER, true), layer(UPPER_LAYER, false)];
    return new Snapshots(await Machine.start(series, changes, { layers }));
  }

  /** Runs a script in a container whose snapshot stays. */
  async run(suffix: string, runtime: string, script: string, flags: readonly string[] = []) {
    const words = [
      "run",
      "--runtime",
      runtime,
      "--mount",
      HOST_USR,
      ...flags,
      IMAGE_NAME,
      this.machine.name(suffix),
    ];
    const { status, stdout, stderr } = await this.machine.ctr([...words, "/bin/sh", "-c", script]);
    this.printed.set(suffix, `${stdout}${stderr}`);
    assert.equal(status, 0, this.printed.get(suffix) + (await this.machine.containerd.logTail(30)));
  }

  /** What containerd would commit. */
  async committed(suffix: string) {
    const { status, stdout, stderr } = await this.machine.ctr([
      "snapshot",
      "diff",
      this.machine.name(suffix),
    ]);
    assert.equal(status, 0, stderr);
    return tarMembers(gunzipSync(stdout)).filter(({ name }) => !isMountPoint(name));
  }

  async mountCommand(suffix: string, target: string): Promise<string> {
    const { status, stdout, stderr } = await this.machine.ctr([
      "snapshot",
      "mounts",
      target,
      this.machine.name(suffix),
    ]);
    assert.equal(status, 0, stderr);
    return stdout.toString();
  }

  async upperDirectory(suffix: string): Promise<string> {
    const [, upper] = /upperdir=([^, ]+)/.exec(await this.mountCommand(suffix, "/target")) ?? [];
    assert.ok(upper);
    return upper;
  }

  /** What the host's overlay makes of the container's directories. */
  async merged(suffix: string): Promise<string[]> {
    const target = mkdtempSync(join(tmpdir(), "kata-fs-merged-"));
    try {
      execFileSync("/bin/sh", ["-c", await this.mountCommand(suffix, target)]);
      try {
        return treeListing(target).filter((line) => !isMountPoint(line));
      } finally {
        execFileSync("umount", [target]);
      }
    } finally {
      rmSync(target, { recursive: true });
    }
  }
}

describe("what a container writes", () => {
  let snapshots: Snapshots;

  before(async () => {
    snapshots = await Snapshots.start(SERIES);
    await snapshots.run("runc", RUNC, CHANGES);
    await snapshots.run("kata", RUNTIME, CHANGES);
  });
  after(() => snapshots?.machine.stop());

  it("looks to it as it does with runc", () => {
    assert.match(snapshots.printed.get("runc") ?? "", /had no name|linked/);
    assert.equal(snapshots.printed.get("kata"), snapshots.printed.get("runc"));
  });

  it("is committed as what it changed, and as with runc", async () => {
    const members = await snapshots.committed("kata");
    assert.deepEqual(members, await snapshots.committed("runc"));
    const names = members.map(({ name }) => name);
    for (const name of ["t/.wh.gone", "t/.wh.moved-dir", "t/cleared/.wh.1", "t/linked", "t/sparse"])
      assert.ok(names.includes(name), name);
    assert.ok(!names.includes("t/hidden"));
    const { attributes } = members.find(({ name }) => name === "t/replaced") ?? {};
    assert.deepEqual(attributes, { "security.capability": CAPABILITY });
  });

  it("is an upper directory of the host's overlay, with the marks that runc's has and matter there", async () => {
    const upper = await snapshots.upperDirectory("kata");
    const listing = treeListing(upper).filter((line) => !isMountPoint(line));
    // The host's overlay ties what was copied up to what it was copied from, which lasts as long as the host.
    const inHostOnly = / trusted\.overlay\.(origin|impure)=[0-9a-f]*/g;
    const expected = treeListing(await snapshots.upperDirectory("runc"))
      .filter((line) => !isMountPoint(line))
      .map((line) => line.replaceAll(inHostOnly, ""));
    assert.deepEqual(listing, expected);
    assert.ok(listing.some((line) => /^t\/replaced-dir .* trusted\.overlay\.opaque=79$/.test(line)));
    assert.ok(listing.includes("t/gone whiteout"));
    assert.ok(listing.some((line) => /^t\/merged\/inherits .* system\.posix_acl_access=/.test(line)));
    assert.ok(lstatSync(join(upper, "t/sparse")).blocks < 1000, "holes stay holes");
    assert.deepEqual(await snapshots.merged("kata"), await snapshots.merged("runc"));
  });

  it("cannot be what an overlay of the host would obey", async () => {
    await snapshots.run("hostile", RUNTIME, hostile(snapshots.machine.name("hostile")), ["--privileged"]);
    assert.match(snapshots.printed.get("hostile") ?? "", /^[1-9]\d* of \d+$/m);
    const upper = await snapshots.upperDirectory("hostile");
    const found = new Set<string>();
    for (const name of ["..", "../work", ".", "victim", "victim/dir", "victim/file", "victim/link"]) {
      for (const attribute of hostList(join(upper, name))) {
        if (!attribute.startsWith("user.kata-fs.")) found.add(`${name} ${attribute}`);
      }
    }
    assert.deepEqual([...found], ["victim/dir trusted.overlay.opaque"]);
    await snapshots.merged("hostile");
  });
});

const OTHERS: Readonly<Record<string, () => Promise<Snapshots>>> = {
  "by containerd 1.6": () => Snapshots.start("1.6"),
  "by containerd 2.1": () => Snapshots.start("2.1"),
  "by a guest of Linux 7.3": () => Snapshots.start(SERIES, (disk) => guestWith("7.3", disk)),
};

for (const [how, start] of Object.entries(OTHERS)) {
  it(`what a container writes is committed ${how}, too, as with runc`, async (t) => {
    const snapshots = await start();
    t.after(() => snapshots.machine.stop());
    await snapshots.run("runc", RUNC, CHANGES);
    await snapshots.run("kata", RUNTIME, CHANGES);
    assert.equal(snapshots.printed.get("kata"), snapshots.printed.get("runc"));
    assert.deepEqual(await snapshots.committed("kata"), await snapshots.committed("runc"));
  });
}

/** Whether a name, or a line that begins with it, is of a directory that the runtime makes: runc and crun choose different modes. */
function isMountPoint(line: string): boolean {
  return /^(dev|host|proc|run|sys)(\/| |$)/.test(line);
}

/** A layer of an image, made by a script in an empty directory t of it. */
function layer(script: string, hasAttributes: boolean): Buffer {
  const directory = mkdtempSync(join(tmpdir(), "kata-fs-layer-"));
  try {
    const tree = join(directory, "t");
    mkdirSync(tree);
    execFileSync("/bin/sh", ["-euc", script], { cwd: tree });
    if (hasAttributes) {
      hostSet(
        join(tree, "capable"),
        "security.capability",
        Buffer.from(CAPABILITY, "hex").toString("latin1"),
      );
      hostSet(join(tree, "times"), "user.lower", "1");
    }
    const words = ["--xattrs", "--xattrs-include=*", "--format=pax", "--numeric-owner", "-C", directory];
    return execFileSync("tar", [...words, "-cf", "-", "t"], { maxBuffer: 1 << 28 });
  } finally {
    rmSync(directory, { recursive: true });
  }
}
