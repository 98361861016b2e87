/**
 * Reads and sets extended attributes of opened folders, in a thread of its own: a CephFS whose servers
 * are gone answers late or never, and nothing else should wait for it. Started by attributes.ts, from its text.
 */
import { dlopen, ptr, read } from 'bun:ffi';

const MAX_VALUE_BYTES = 4096;
let calls;

function load(names) {
  for (const name of names) {
    try {
      return dlopen(name, {
        fgetxattr: { args: ['i32', 'ptr', 'ptr', 'u64'], returns: 'i64' },
        fsetxattr: { args: ['i32', 'ptr', 'ptr', 'u64', 'i32'], returns: 'i32' },
        __errno_location: { args: [], returns: 'ptr' },
      }).symbols;
    } catch {
      // Another C library; the next name may fit.
    }
  }
  throw new Error('no C library that is known');
}

function answer({ fd, name, value }) {
  const key = ptr(Buffer.from(`${name}\0`));
  if (value !== undefined) {
    const bytes = Buffer.from(value);
    const failed = calls.fsetxattr(fd, key, ptr(bytes), bytes.length, 0) !== 0;
    return failed ? { errno: read.i32(calls.__errno_location(), 0) } : { value };
  }
  const bytes = Buffer.alloc(MAX_VALUE_BYTES);
  const length = Number(calls.fgetxattr(fd, key, ptr(bytes), bytes.length));
  if (length < 0) return { errno: read.i32(calls.__errno_location(), 0) };
  return { value: bytes.toString('latin1', 0, length) };
}

self.onmessage = ({ data }) => {
  calls ??= load(data.libraries);
  postMessage({ id: data.id, ...answer(data) });
};
