import assert from "node:assert/strict";
import { test } from "node:test";
import { ShimError, StatusCode } from "../error.js";
import { sandboxCgroupPath } from "./cgroup-path.js";

test("a path's last name becomes Kata's", () => {
  assert.equal(sandboxCgroupPath("/default/c1", "c1"), "/default/kata_c1");
  assert.equal(sandboxCgroupPath("/kubepods/pod1/abc", "abc"), "/kubepods/pod1/kata_abc");
  assert.equal(sandboxCgroupPath("relative/c1/", "c1"), "/relative/kata_c1");
  assert.equal(sandboxCgroupPath("", "c1"), "/kata_c1");
});

test("systemd's form is a scope in its slice, which lies in those that its name tells", () => {
  assert.equal(
    sandboxCgroupPath("kubepods-burstable-pod1.slice:cri-containerd:abc", "abc"),
    "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1.slice/cri-containerd-abc.scope",
  );
  assert.equal(sandboxCgroupPath(":ctr:c1", "c1"), "/system.slice/ctr-c1.scope");
  assert.equal(sandboxCgroupPath("-.slice::c1", "c1"), "/c1.scope");
  assert.equal(
    sandboxCgroupPath("kubepods-pod_1.slice:a:b", "b"),
    "/kubepods.slice/kubepods-pod_1.slice/a-b.scope",
  );
});

test("a path with colons is a path", () => {
  assert.equal(sandboxCgroupPath("/a:b:c/d", "d"), "/a:b:c/kata_d");
});

for (const bad of [
  "/../../etc",
  "/a/../../b",
  "/",
  "..",
  "a.slice:b:",
  "a--b.slice:c:d",
  "a:b:c",
  "-a.slice:b:c",
]) {
  test(`${bad} is refused`, () => {
    assert.throws(
      () => sandboxCgroupPath(bad, "c1"),
      (error) => error instanceof ShimError && error.code === StatusCode.INVALID_ARGUMENT,
    );
  });
}
