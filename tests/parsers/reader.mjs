// What V8's JSON.parse reads. The protocol is in README.md.

import { readSync, writeSync } from "node:fs";

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const double = new DataView(new ArrayBuffer(8));

function text(value) {
  return `s${Buffer.byteLength(value)}:${value}`;
}

function canonical(value) {
  switch (typeof value) {
    case "boolean":
      return value ? "t" : "f";
    case "string":
      return text(value);
    case "number":
      double.setFloat64(0, value === 0 ? 0 : value);
      return "d" + double.getBigUint64(0).toString(16).padStart(16, "0");
  }
  if (value === null) return "n";
  if (Array.isArray(value)) return `a${value.length}:` + value.map(canonical).join("");
  const names = Object.keys(value);
  // Without surrogates the order of UTF-16 units is that of the bytes.
  if (names.some((name) => /[\ud800-\uffff]/.test(name))) {
    names.sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  } else {
    names.sort();
  }
  return `o${names.length}:` + names.map((name) => text(name) + canonical(value[name])).join("");
}

const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
const own = (value, name) => (isObject(value) && Object.hasOwn(value, name) ? value[name] : undefined);
const wanted = (value) => (typeof value === "string" ? text(value) : "-");

function told(bytes) {
  let value;
  try {
    value = JSON.parse(utf8.decode(bytes));
  } catch (error) {
    return "R" + error.message;
  }
  if (!isObject(value)) return "B";
  const params = own(value, "params");
  const reference = own(params, "ref");
  const given = own(params, "arguments") ?? null;
  return [
    "u",
    Object.hasOwn(value, "id") ? canonical(value.id) : "-",
    wanted(own(value, "method")),
    ...["name", "uri", "taskId"].map((name) => wanted(own(params, name))),
    ...["type", "name", "uri"].map((name) => wanted(own(reference, name))),
    wanted(own(own(params, "_meta"), "io.modelcontextprotocol/protocolVersion")),
    given === null ? "-" : canonical(given),
    canonical(value),
  ].join("");
}

function read(length) {
  const bytes = Buffer.alloc(length);
  for (let at = 0; at < length; ) {
    const got = readSync(0, bytes, at, length - at, null);
    if (got === 0) process.exit(0);
    at += got;
  }
  return bytes;
}

function number(value) {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

for (;;) {
  const messages = [];
  for (let left = read(4).readUInt32BE(); left > 0; left--) messages.push(read(read(4).readUInt32BE()));
  const answers = messages.flatMap((message) => {
    const answer = Buffer.from(told(message));
    return [number(answer.length + 4), number(answer.length), answer];
  });
  const whole = Buffer.concat(answers);
  for (let at = 0; at < whole.length; ) at += writeSync(1, whole, at);
}
