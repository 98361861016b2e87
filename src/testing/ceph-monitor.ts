/**
 * Gives commands to a Ceph monitor: `ceph-monitor.ts CONFIG COMMAND…`, the commands as the monitor reads
 * them, in JSON. Ceph's own command does the same with a large part of Python. A process of its own, since
 * the loader finds Ceph's libraries only where LD_LIBRARY_PATH pointed when the process began.
 */
import { dlopen, type Pointer, ptr, toArrayBuffer } from 'bun:ffi';

const { symbols: rados } = dlopen('librados.so.2', {
  rados_create2: { args: ['ptr', 'ptr', 'ptr', 'u64'], returns: 'i32' },
  rados_conf_read_file: { args: ['u64', 'ptr'], returns: 'i32' },
  rados_connect: { args: ['u64'], returns: 'i32' },
  rados_shutdown: { args: ['u64'], returns: 'void' },
  rados_mon_command: {
    args: ['u64', 'ptr', 'u64', 'ptr', 'u64', 'ptr', 'ptr', 'ptr', 'ptr'],
    returns: 'i32',
  },
});

const asC = (text: string): Pointer => ptr(Buffer.from(`${text}\0`));

/** Of a C string that the monitor answered with; its length comes with it. */
const textAt = (address: bigint, length: bigint): string =>
  length === 0n
    ? ''
    : // The only kind of address that bun:ffi reads from.
      Buffer.from(toArrayBuffer(Number(address) as Pointer, 0, Number(length))).toString();

function check(what: string, result: number): void {
  if (result !== 0) throw new Error(`${what} failed with ${result}`);
}

const [configFile = '', ...commands] = process.argv.slice(2);
const handle = new BigUint64Array(1);
check('a connection', rados.rados_create2(ptr(handle), asC('ceph'), asC('client.admin'), 0n));
const [connection = 0n] = handle;
check(configFile, rados.rados_conf_read_file(connection, asC(configFile)));
check('connecting to the monitor', rados.rados_connect(connection));
for (const command of commands) {
  const text = Buffer.from(`${command}\0`);
  const list = new BigUint64Array([BigInt(ptr(text))]);
  /** An answer and a status, each an address and a length. */
  const said = new BigUint64Array(4);
  const result = rados.rados_mon_command(
    ...([connection, ptr(list), 1n, null, 0n] as const),
    ...([ptr(said), ptr(said, 8), ptr(said, 16), ptr(said, 24)] as const),
  );
  const [answer = 0n, answerBytes = 0n, status = 0n, statusBytes = 0n] = said;
  if (result !== 0) throw new Error(`${command}: ${textAt(status, statusBytes)} (${result})`);
  console.log(textAt(answer, answerBytes));
}
rados.rados_shutdown(connection);
