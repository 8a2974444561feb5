import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { commentedConfiguration } from "./commented.js";
import { CONFIGURATION_FIELDS } from "./configuration.js";
import type { Field } from "./field.js";
import { parseConfiguration, parseSettings } from "./parse.js";

const COMMENTED = readFileSync(new URL("config.yaml", import.meta.url), "utf8");

const fields = Object.entries(CONFIGURATION_FIELDS).flatMap(([section, keys]) =>
  Object.entries<Field<unknown>>(keys).map(([key, field]) => ({ section, key, field })),
);

test("config.yaml is what the schema says; otherwise: npm run config:document", () => {
  assert.equal(COMMENTED, commentedConfiguration());
});

test("every key is in it with its default", () => {
  const settings: Readonly<Record<string, object>> = parseSettings(COMMENTED, "config.yaml");
  for (const { section, key, field } of fields) {
    const set = Object.hasOwn(settings[section] ?? {}, key);
    assert.equal(set, field.fallback !== undefined, `${section}.${key}`);
  }
  assert.deepEqual(parseConfiguration(COMMENTED, "config.yaml"), parseConfiguration("", "empty"));
});

test("a key without a default is shown with a value that it takes", () => {
  for (const { section, key, field } of fields.filter(({ field }) => field.fallback === undefined)) {
    assert.notEqual(field.read(field.example), undefined, `${section}.${key}`);
    assert.match(COMMENTED, new RegExp(`^  # ${key}: \\S`, "m"));
  }
});

test("a default is a value that its key takes", () => {
  for (const { section, key, field } of fields.filter(({ field }) => field.fallback !== undefined)) {
    assert.deepEqual(field.read(field.fallback)?.value, field.fallback, `${section}.${key}`);
  }
});

test("a number whose key names a unit has that unit", () => {
  const names: Readonly<Record<string, string>> = { MiB: "MiB", KiB: "KiB", Seconds: "seconds", Ms: "ms" };
  for (const { key, field } of fields) {
    const suffix = Object.keys(names).find((suffix) => key.endsWith(suffix));
    assert.equal(field.unit, suffix === undefined ? undefined : names[suffix], key);
  }
});

test("no line is longer than an editor is wide", () => {
  for (const line of COMMENTED.split("\n")) assert(!line.startsWith("#") || line.length <= 120, line);
});
